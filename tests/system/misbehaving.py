"""Estimators that misbehave on purpose. They are importable by the workers of these tests (PYTHONPATH)."""

import os
import signal
import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

POISON = 666.0


class Base(ClassifierMixin, BaseEstimator):
    """Answers the sum of each row, so that every result can be told from every other."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        self.classes_ = np.array([0, 1])
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.asarray(X).sum(axis=1)


class Killer(Base):
    """Kills its process with SIGKILL when a row starts with the poison."""

    def predict(self, X):
        if (np.asarray(X)[:, 0] == POISON).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(X)


class Raiser(Base):
    """Raises when a row starts with the poison."""

    def predict(self, X):
        if (np.asarray(X)[:, 0] == POISON).any():
            raise RuntimeError("cannot digest this row")
        return super().predict(X)


class Eater(Base):
    """Takes 8 MiB for every row while it predicts, and more than any limit when a row starts with the poison."""

    def predict(self, X):
        if os.environ.get("INFERQ_TEST_WORKER"):
            sizes = np.where(np.asarray(X)[:, 0] == POISON, 1 << 16, 8)
            eaten = [bytearray(int(size) << 20) for size in sizes]
            del eaten
        return super().predict(X)


class Slow(Base):
    """Takes its time in a worker: seconds per call."""

    def __init__(self, seconds=0.5):
        self.seconds = seconds

    def predict(self, X):
        if os.environ.get("INFERQ_TEST_WORKER"):
            time.sleep(self.seconds)
        return super().predict(X)


class SlowRows(Slow):
    """Takes its time in a worker: seconds per row."""

    def predict(self, X):
        if os.environ.get("INFERQ_TEST_WORKER"):
            time.sleep(self.seconds * (len(X) - 1))
        return super().predict(X)


class Stuck(Base):
    """Never answers when a row starts with the poison."""

    def predict(self, X):
        while (np.asarray(X)[:, 0] == POISON).any():
            time.sleep(0.1)
        return super().predict(X)
