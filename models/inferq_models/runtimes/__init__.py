"""What computes a version's predictions: scikit-learn, or ONNX Runtime where it answers the same and is quicker."""
