"""How long two runtimes take for the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_models.infer import call
from inferq_models.runtimes import probes
from inferq_models.samples import Sample

# The share of scikit-learn's time at which ONNX counts as quicker. Two loads of one model never differ by so much in
# their best runs.
QUICKER = 0.9
# Rows of the batch, runs of each size, and seconds after which no further run begins.
BATCH_ROWS = 256
_RUNS = 30
_SECONDS = 0.2


@dataclass(frozen=True)
class Speed:
    """Seconds of the best run, of scikit-learn and of ONNX: for one row, and for a batch."""

    row: tuple[float, float]
    batch: tuple[float, float]

    @property
    def quicker(self) -> bool:
        return all(converted <= QUICKER * plain for plain, converted in (self.row, self.batch))

    def __str__(self) -> str:
        (one, converted_one), (many, converted_many) = self.row, self.batch
        return (
            f"1 row in {converted_one * 1e3:.3g} ms instead of {one * 1e3:.3g} ms, "
            f"{BATCH_ROWS} in {converted_many * 1e3:.3g} ms instead of {many * 1e3:.3g} ms"
        )


def measure(estimator: Any, converted: Any, signature: Signature, sample: Sample) -> Speed:
    """Both runtimes on one row and on a batch of the sample's rows. Takes less than a second but for slow models."""
    matrix = probes.as_matrix(sample)
    batch = np.resize(matrix, (BATCH_ROWS, matrix.shape[1]))
    pairs = []
    for numbers in (batch[:1], batch):
        rows = probes.as_rows(signature, numbers)
        pairs.append(
            (
                _best(lambda rows=rows: call(estimator, Method.PREDICT, rows)),  # type: ignore[misc]
                _best(lambda rows=rows: call(converted, Method.PREDICT, rows)),  # type: ignore[misc]
            )
        )
    return Speed(*pairs)


def _best(action: Callable[[], Any]) -> float:
    """Seconds of the quickest run: what disturbs only makes others longer."""
    began = time.perf_counter()
    best = float("inf")
    for _ in range(_RUNS):
        started = time.perf_counter()
        action()
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended - began > _SECONDS:
            break
    return best
