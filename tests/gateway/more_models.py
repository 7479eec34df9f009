"""Models beside those of the client contract, for tensors of other kinds."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, LogisticRegression

from inferq_core.store import open_store
from inferq_models import register


def add_more_models(settings):
    """`areas` answers the sum of two named columns; `sizes` is a classifier with texts as labels."""
    store = open_store(settings)
    try:
        frame = pd.DataFrame({"width": [1.0, 2, 3, 5], "height": [2.0, 1, 5, 3]})
        register("areas", LinearRegression().fit(frame, frame.sum(axis=1)), frame, store=store, settings=settings)
        X = np.array([[0.0] * 4, [1.0] * 4, [8.0] * 4, [9.0] * 4])
        sizes = LogisticRegression(C=100).fit(X, ["small", "small", "große", "große"])
        register("sizes", sizes, X, store=store, settings=settings)
    finally:
        store.close()
