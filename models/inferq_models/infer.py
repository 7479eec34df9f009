"""The signature of an estimator, found by trying: what it takes, which methods work, where values may be missing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pandas as pd

from inferq_core.columns import Column, Kind, Layout
from inferq_core.errors import InvalidInput, RegistrationRefused
from inferq_core.signature import Label, Signature
from inferq_core.states import Method
from inferq_models.inputs import build
from inferq_models.outputs import as_rows
from inferq_models.samples import Sample, spread

# Rows of the sample that methods are tried on.
TRIED_ROWS = 100
# A string column counts as text, not as categories, when its values have this many words on average.
_WORDS_OF_TEXT = 3


def infer(estimator: Any, sample: Sample) -> Signature:
    """The signature of a fitted estimator that takes rows like `sample` (see `samples.as_sample`).

    Raises RegistrationRefused when a column has a type that rows cannot have, and when no method works.
    """
    lenient = Signature(*_shape(sample), methods=tuple(Method), dtype=_matrix_dtype(sample))
    try:
        text = lenient.check(spread(sample, TRIED_ROWS)).json
    except InvalidInput as error:
        raise RegistrationRefused(f"the sample cannot be sent as rows: {error}") from error
    rows = build(lenient, [text])
    methods = _working_methods(estimator, rows)
    classes, n_outputs = _target(estimator, methods, rows)
    return replace(
        lenient,
        columns=_with_nullability(estimator, methods[0], lenient, text),
        methods=methods,
        classes=classes,
        n_outputs=n_outputs,
    )


def _shape(sample: Sample) -> tuple[Layout, tuple[Column, ...]]:
    """Layout and columns; every column is nullable for now, so that samples with missing values pass."""
    if isinstance(sample, list):
        return Layout.TEXTS, (Column(None, Kind.TEXT, "str"),)
    if isinstance(sample, pd.DataFrame):
        if not sample.columns.is_unique:
            raise RegistrationRefused("the sample has two columns of the same name")
        return Layout.FRAME, tuple(_frame_column(name, sample[name]) for name in sample.columns)
    if sample.dtype.kind in "fiub":
        return Layout.MATRIX, (Column(None, Kind.NUMERIC, _matrix_dtype(sample), nullable=True),) * sample.shape[1]
    if sample.dtype.kind != "O":
        raise RegistrationRefused(f"the sample has dtype {sample.dtype}: expected numbers or strings")
    columns = tuple(_object_column(None, pd.Series(values, dtype=object)) for values in sample.T)
    if all(column.kind is Kind.NUMERIC for column in columns):
        return Layout.MATRIX, columns
    return Layout.OBJECTS, columns


def _matrix_dtype(sample: Sample) -> str:
    return "float32" if isinstance(sample, np.ndarray) and sample.dtype == np.float32 else "float64"


def _frame_column(name: str, series: Any) -> Column:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = tuple(dtype.categories.tolist())
        if not categories or not all(isinstance(value, (str, int, float)) for value in categories):
            raise RegistrationRefused(f"column {name!r}: categories must be strings or numbers")
        return Column(name, Kind.CATEGORICAL, "category", nullable=True, categories=categories)
    if pd.api.types.is_bool_dtype(dtype):
        return Column(name, Kind.NUMERIC, "bool", nullable=True)
    if pd.api.types.is_integer_dtype(dtype):
        return Column(name, Kind.NUMERIC, "int64", nullable=True)
    if pd.api.types.is_float_dtype(dtype):
        narrow = str(dtype).lower() == "float32"
        return Column(name, Kind.NUMERIC, "float32" if narrow else "float64", nullable=True)
    if pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype):
        return _object_column(name, series)
    raise RegistrationRefused(
        f"column {name!r} has dtype {dtype}: rows hold numbers, booleans and strings only; convert it before fitting"
    )


def _object_column(name: str | None, series: Any) -> Column:
    values = series.dropna()
    if len(values) and all(isinstance(value, (int, float, np.number)) for value in values):
        return Column(name, Kind.NUMERIC, "float64", nullable=True)
    for value in values:
        if not isinstance(value, str):
            where = "a column" if name is None else f"column {name!r}"
            raise RegistrationRefused(f"{where} of the sample mixes strings with {type(value).__name__}: {value!r:.60}")
    words = values.str.split().str.len().mean() if len(values) else 0
    kind = Kind.TEXT if words >= _WORDS_OF_TEXT else Kind.CATEGORICAL
    return Column(name, kind, "object" if series.dtype == object else "str", nullable=True)


def _working_methods(estimator: Any, rows: Any) -> tuple[Method, ...]:
    failures: dict[Method, Exception] = {}
    for method in Method:
        if not hasattr(estimator, method):
            continue
        failure = _failure(lambda method=method: call(estimator, method, rows))  # type: ignore[misc]
        if failure is not None:
            failures[method] = failure
    working = tuple(method for method in Method if hasattr(estimator, method) and method not in failures)
    if not working or Method.PREDICT in failures:
        raise RegistrationRefused(_no_answer(estimator, failures)) from next(iter(failures.values()), None)
    return working


def _no_answer(estimator: Any, failures: dict[Method, Exception]) -> str:
    name = type(estimator).__name__
    if not failures:
        return f"{name} has none of the methods {', '.join(Method)}: register a fitted estimator"
    method, error = next(iter(failures.items()))
    return f"{name}.{method} fails on the sample: {type(error).__name__}: {error}"


def call(estimator: Any, method: Method, rows: Any) -> list[Any]:
    """`estimator.<method>(rows)` as JSON-able items, one a row."""
    return as_rows(getattr(estimator, method)(rows), len(rows))


def _failure(attempt: Callable[[], Any]) -> Exception | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 - an estimator is foreign code; whatever it raises is the answer
            return error
    return None


def _target(estimator: Any, methods: Sequence[Method], rows: Any) -> tuple[tuple[Label, ...] | None, int]:
    """The classes of a classifier, and the number of values per row of its first method."""
    first = call(estimator, methods[0], rows)[0]
    n_outputs = len(first) if isinstance(first, list) else 1
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return None, n_outputs
    return tuple(classes.tolist()), n_outputs


def _with_nullability(estimator: Any, method: Method, signature: Signature, text: str) -> tuple[Column, ...]:
    """The columns, nullable where the estimator gives an answer to a row whose value is missing there."""
    if signature.layout is Layout.TEXTS:
        return signature.columns
    document = orjson.loads(text)
    rows = document["rows"] if signature.named else document

    def takes_missing(places: Sequence[int]) -> bool:
        holed = [[None if place in places else value for place, value in enumerate(rows[0])], *rows[1:]]
        changed = orjson.dumps({"columns": document["columns"], "rows": holed} if signature.named else holed).decode()
        return _failure(lambda: call(estimator, method, build(signature, [changed]))) is None

    if takes_missing(range(len(signature.columns))):
        return signature.columns
    return tuple(replace(column, nullable=takes_missing([place])) for place, column in enumerate(signature.columns))
