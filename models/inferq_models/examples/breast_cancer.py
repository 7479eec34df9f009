"""Malignant or benign? 569 tumours in 30 named measurements (UCI, in scikit-learn) and a scaled linear model."""

from __future__ import annotations

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inferq_models.examples.example import SEED, Example

NAME = "breast-cancer"


def build() -> Example:
    """Rows are a DataFrame with names; the classes are strings."""
    data = load_breast_cancer(as_frame=True)
    diagnosis = data.target_names[data.target]
    X_train, X_test, y_train, y_test = train_test_split(
        data.data, diagnosis, test_size=0.5, stratify=diagnosis, random_state=SEED
    )
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X_train, y_train)
    return Example(NAME, pipeline, X_train, X_test, y_train, y_test)
