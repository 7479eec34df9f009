"""Rows on which two runtimes are compared: the sample, and what is made from it to tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from inferq_core.columns import Layout
from inferq_core.signature import Signature
from inferq_models.samples import Sample, spread

# Rows of the sample that are tried, evenly taken when there are more, and rows that others are made from.
MAX_SAMPLE_ROWS, BASE_ROWS = 10_000, 100
# Pairs of rows between which the place is sought where the answer changes, and halvings of the way. 40 halvings come
# closer than float32 can tell, and stay farther away than float64's own rounding.
_PAIRS, _HALVINGS = 50, 40
# Share of the values that is taken out of a row with missing values.
_MISSING = 0.3


def as_matrix(sample: Sample) -> NDArray[np.float64]:
    """The sample's numbers, (n_rows, n_columns); missing ones are NaN."""
    taken = spread(sample, MAX_SAMPLE_ROWS)
    if isinstance(taken, pd.DataFrame):
        taken = taken.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(taken, dtype=np.float64)


def as_rows(signature: Signature, matrix: NDArray[np.float64]) -> Any:
    """Numbers as the estimator takes its rows."""
    if signature.layout is Layout.MATRIX:
        return matrix.astype(signature.dtype)
    columns = zip(signature.columns, matrix.T, strict=True)
    return pd.DataFrame({str(column.name): _typed(column.dtype, values) for column, values in columns})


def _typed(dtype: str, values: NDArray[np.float64]) -> NDArray[Any]:
    if dtype in ("float64", "float32") or np.isnan(values).any():
        return values.astype(dtype if dtype == "float32" else "float64")
    return values > 0 if dtype == "bool" else np.rint(values).astype(np.int64)


def probes(
    signature: Signature, matrix: NDArray[np.float64], predict: Callable[[Any], list[Any]]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Rows made from the sample's, by what they are. `predict` answers rows as the estimator does."""
    random = np.random.default_rng(0)
    base = np.asarray(spread(matrix, BASE_ROWS))
    with np.errstate(all="ignore"):
        yield "rounded to the neighbours of its values", _neighbours(base)
        yield "mixed from it", _mixed(base, random)
        yield "outside its range", _outside(base)
    yield from _with_holes(signature, base, random)
    yield "where the answer changes", _boundary(base, random, lambda rows: predict(as_rows(signature, rows)))


def _neighbours(base: NDArray[np.float64]) -> NDArray[np.float64]:
    narrow = base.astype(np.float32)
    sides = [np.nextafter(base, side) for side in (-np.inf, np.inf)]
    sides += [np.nextafter(narrow, np.float32(side)).astype(np.float64) for side in (-np.inf, np.inf)]
    return np.concatenate([narrow.astype(np.float64), *sides])


def _mixed(base: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    shuffled = [random.permuted(base, axis=0) for _ in range(3)]
    noise = random.normal(scale=0.01, size=base.shape) * np.nanstd(base, axis=0)
    return np.concatenate([*shuffled, (base + shuffled[0]) / 2, base + noise])


def _outside(base: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.nanmin(base, axis=0), np.nanmax(base, axis=0)
    span = high - low
    corners = [low, high, low - span, high + span, np.zeros_like(low), np.ones_like(low), (low + high) / 2]
    return np.concatenate([corners, -10 * base, 10 * base])


def _with_holes(
    signature: Signature, base: NDArray[np.float64], random: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    nullable = np.array([column.nullable for column in signature.columns])
    if nullable.any():
        holes = random.random(base.shape) < _MISSING
        yield "with missing values", np.where(holes & nullable, np.nan, base)
        yield "with all values missing that may be", np.where(nullable, np.nan, base[:1])


def _boundary(
    base: NDArray[np.float64], random: np.random.Generator, predict: Callable[[NDArray[np.float64]], list[Any]]
) -> NDArray[np.float64]:
    """Both sides of the places, on the way from one row to another, where the answer changes."""
    answers = predict(base)
    pairs = random.integers(len(base), size=(20 * _PAIRS, 2))
    pairs = np.array([(one, other) for one, other in pairs if answers[one] != answers[other]][:_PAIRS], dtype=int)
    if not len(pairs):
        return base[:0]
    here, there = base[pairs[:, 0]], base[pairs[:, 1]]
    expected = [answers[one] for one in pairs[:, 0]]
    for _ in range(_HALVINGS):
        middle = here + (there - here) / 2
        same = np.array([a == b for a, b in zip(predict(middle), expected, strict=True)])[:, None]
        here, there = np.where(same, middle, here), np.where(same, there, middle)
    return np.concatenate([here, there])
