"""What every example module builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Every split and every estimator of the examples is drawn with it.
SEED = 20


@dataclass(frozen=True)
class Example:
    """An estimator fitted on one half of real data, and both halves.

    `X_train` and `X_test` are (n_rows, n_features) arrays or DataFrames, or lists of str; `y_train` and `y_test` are
    (n_rows,).
    """

    name: str
    estimator: Any
    X_train: Any
    X_test: Any
    y_train: Any
    y_test: Any
