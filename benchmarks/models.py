"""The models of the measurements: logistic regression behind a scaler, and 100 trees of depth 12, on 20 features."""

from functools import cache

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FEATURES = 20
LR, RF = "lr", "rf"
# The same forest once more, served by ONNX. Ours only; the others are served by scikit-learn on both sides.
RF_ONNX = "rf-onnx"


@cache
def rows() -> np.ndarray:
    """Rows to predict, of shape (2000, 20)."""
    return _data()[0][2000:]


@cache
def fitted() -> dict[str, BaseEstimator]:
    """Both models, by name."""
    X, y = _data()
    models = {
        LR: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        RF: RandomForestClassifier(n_estimators=100, max_depth=12, random_state=7, n_jobs=1),
    }
    return {name: model.fit(X[:2000], y[:2000]) for name, model in models.items()}


@cache
def _data() -> tuple[np.ndarray, np.ndarray]:
    return make_classification(n_samples=4000, n_features=FEATURES, n_informative=10, random_state=7)
