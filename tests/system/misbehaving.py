"""Estimators that misbehave on purpose. They are importable by the workers of these tests (PYTHONPATH)."""

import ctypes
import os
import resource
import signal
import time
from pathlib import Path

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


class Exiter(Base):
    """Ends its process without a word when a row starts with the poison."""

    def predict(self, X):
        if (np.asarray(X)[:, 0] == POISON).any():
            os._exit(3)
        return super().predict(X)


class Segfaulter(Base):
    """Reads what is not there when a row starts with the poison."""

    def predict(self, X):
        if (np.asarray(X)[:, 0] == POISON).any():
            ctypes.string_at(0)
        return super().predict(X)


class Glutton(Base):
    """Takes memory until there is no more when a row starts with the poison; at most `megabytes` more than it has."""

    def __init__(self, megabytes=200):
        self.megabytes = megabytes

    def predict(self, X):
        if (np.asarray(X)[:, 0] == POISON).any():
            self._eat()
        return super().predict(X)

    def _eat(self):
        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size + (self.megabytes << 20), before[1]))
        try:
            eaten = []
            while True:
                eaten.append(np.ones(1 << 20))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


class Short(Base):
    """Answers a row too few when one starts with the poison."""

    def predict(self, X):
        answers = super().predict(X)
        return answers[:-1] if (np.asarray(X)[:, 0] == POISON).any() else answers


class Indefinite(Base):
    """Answers NaN for a row that starts with the poison."""

    def predict(self, X):
        answers = super().predict(X)
        return np.where(np.asarray(X)[:, 0] == POISON, np.nan, answers)
