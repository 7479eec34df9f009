"""The model of the measurements: 100 trees of depth 12 on 20 features."""

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

FEATURES = 20


def forest() -> tuple[RandomForestClassifier, np.ndarray]:
    """The fitted forest and rows of shape (2000, 20) to predict."""
    rows, labels = make_classification(n_samples=4000, n_features=FEATURES, n_informative=10, random_state=7)
    model = RandomForestClassifier(n_estimators=100, max_depth=12, random_state=7, n_jobs=1).fit(
        rows[:2000], labels[:2000]
    )
    return model, rows[2000:]
