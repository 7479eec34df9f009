"""Whether a converted artifact answers as the estimator does."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_models.infer import call
from inferq_models.runtimes import probes
from inferq_models.runtimes.reasons import NotServed, brief
from inferq_models.runtimes.session import METHODS
from inferq_models.samples import Sample

# Labels are equal, or there is no parity. Numbers may differ by RELATIVE of themselves plus ABSOLUTE of the largest of
# their method: operators that compute in float32 keep seven digits.
RELATIVE, ABSOLUTE = 1e-5, 1e-6


@dataclass(frozen=True)
class Parity:
    """What was compared, and the largest difference between two numbers."""

    sample_rows: int
    made_rows: int
    difference: float

    def __str__(self) -> str:
        numbers = f"numbers within {self.difference:.1g}" if self.difference else "to the last bit"
        return f"equal on {self.sample_rows:,} rows of the sample and {self.made_rows:,} made from it, {numbers}"


class _Comparison:
    """Two estimators side by side. `estimator` is right by definition."""

    def __init__(self, estimator: Any, converted: Any, signature: Signature) -> None:
        self._estimator = estimator
        self._converted = converted
        self._signature = signature
        self._methods = [method for method in signature.methods if method in METHODS]
        self.difference = 0.0

    def answer(self, rows: Any) -> list[Any]:
        return call(self._estimator, Method.PREDICT, rows)

    def compare(self, matrix: NDArray[np.float64], what: str) -> None:
        """Raise NotServed unless both answer these rows alike."""
        rows = probes.as_rows(self._signature, matrix)
        for method in self._methods:
            expected = call(self._estimator, method, rows)
            try:
                got = call(self._converted, method, rows)
            except Exception as error:  # onnxruntime's errors share no root but Exception
                raise NotServed(f"parity failed: ONNX cannot answer rows {what}: {brief(error)}") from error
            if isinstance(expected[0], (float, list)) and not self._is_label(method):
                self._compare_numbers(expected, got, f"{method} of rows {what}")
            else:
                _compare_labels(expected, got, what)

    def _is_label(self, method: Method) -> bool:
        return method is Method.PREDICT and self._signature.classes is not None

    def _compare_numbers(self, expected: list[Any], got: list[Any], what: str) -> None:
        left, right = np.asarray(expected, dtype=float), np.asarray(got, dtype=float)
        if left.shape != right.shape:
            raise NotServed(f"parity failed: {what} has shape {left.shape}, with ONNX {right.shape}")
        difference = np.abs(left - right)
        self.difference = max(self.difference, float(difference.max()))
        if (difference > RELATIVE * np.abs(left) + ABSOLUTE * np.abs(left).max()).any():
            place = np.unravel_index(difference.argmax(), difference.shape)
            raise NotServed(f"parity failed: {what} was {left[place]:.9g}, with ONNX {right[place]:.9g}")


def _compare_labels(expected: Sequence[Any], got: Sequence[Any], what: str) -> None:
    # As JSON they must be the same: True is not 1 there.
    wrong = [
        pair for pair in zip(expected, got, strict=True) if type(pair[0]) is not type(pair[1]) or pair[0] != pair[1]
    ]
    if wrong:
        before, after = wrong[0]
        raise NotServed(
            f"parity failed: {len(wrong)} of {len(expected)} rows {what} get another label, "
            f"{after!r:.40} instead of {before!r:.40}"
        )


def check_parity(estimator: Any, converted: Any, signature: Signature, sample: Sample) -> Parity:
    """Compare on the sample and on rows made from it: rounded, mixed, extreme, with holes, and at decision boundaries.

    Raises NotServed with numbers when any label differs, or a number by more than the tolerance.
    """
    comparison = _Comparison(estimator, converted, signature)
    matrix = probes.as_matrix(sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        comparison.compare(matrix, "of the sample")
        made = 0
        for what, rows in probes.probes(signature, matrix, comparison.answer):
            if len(rows) and _answered(lambda rows=rows: comparison.answer(probes.as_rows(signature, rows))):  # type: ignore[misc]
                comparison.compare(rows, what)
                made += len(rows)
    return Parity(len(matrix), made, comparison.difference)


def _answered(answer: Callable[[], Any]) -> bool:
    """Made rows may be such as scikit-learn refuses too."""
    try:
        answer()
    except Exception:  # noqa: BLE001 - an estimator is foreign code
        return False
    return True
