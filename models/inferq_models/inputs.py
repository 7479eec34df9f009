"""From the stored texts of many jobs to the one object that an estimator takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from inferq_core.columns import Column, Kind, Layout, Takes
from inferq_core.errors import InvalidInput
from inferq_core.signature import Signature

_TYPES = {
    Takes.NUMBER: frozenset({int, float}),
    Takes.BOOLEAN: frozenset({bool}),
    Takes.STRING: frozenset({str}),
}


def build(signature: Signature, texts: Sequence[str]) -> NDArray[Any] | pd.DataFrame | list[str]:
    """The rows of all texts, in order, as the estimator saw them at registration.

    MATRIX: floats, (n_rows, n_columns); OBJECTS: objects of the same shape; FRAME: a DataFrame with the columns' names,
    order and dtypes; TEXTS: a list of str. Raises InvalidInput when a text was checked against another signature that
    this one does not agree with (the job's model got a new version meanwhile).
    """
    if signature.layout is Layout.FRAME:
        return _frame(signature, _named_rows(signature, texts))
    rows = _positional_rows(texts)
    if signature.layout is Layout.TEXTS:
        _check_column(signature.columns[0], 0, rows)
        return rows
    if signature.layout is Layout.MATRIX:
        matrix = _matrix(signature, rows)
        if matrix is not None:
            return matrix
    columns = _transpose(signature, rows)
    if signature.layout is Layout.MATRIX:
        return np.array(columns, dtype=signature.dtype).T.copy()
    array = np.empty((len(rows), len(columns)), dtype=object)
    for place, values in enumerate(columns):
        array[:, place] = [np.nan if value is None else value for value in values]
    return array


def _positional_rows(texts: Sequence[str]) -> list[Any]:
    """Each text is a JSON array: without their brackets they join into one, which is parsed once."""
    for text in texts:
        if not text.startswith("["):
            raise InvalidInput("the job's rows have names, but this version takes them by position: submit it again")
    rows: list[Any] = orjson.loads(f"[{','.join([text[1:-1] for text in texts])}]")
    return rows


def _named_rows(signature: Signature, texts: Sequence[str]) -> list[list[Any]]:
    wanted = list(signature.names)
    rows: list[list[Any]] = []
    for document in orjson.loads(f"[{','.join(texts)}]"):
        if not isinstance(document, dict):
            raise InvalidInput("the job's rows have no names, but this version takes named columns: submit it again")
        names = document["columns"]
        if names == wanted:
            rows += document["rows"]
        elif set(names) == set(wanted):
            order = [names.index(name) for name in wanted]
            rows += [[row[place] for place in order] for row in document["rows"]]
        else:
            raise InvalidInput(f"the job has columns {names}, this version takes {wanted}: submit it again")
    return rows


def _matrix(signature: Signature, rows: list[Any]) -> NDArray[Any] | None:
    """The rows as floats when they are nothing but finite numbers."""
    try:
        matrix = np.asarray(rows)
    except ValueError:  # ragged
        return None
    if matrix.dtype.kind not in "fiu" or matrix.shape != (len(rows), len(signature.columns)):
        return None
    return matrix.astype(signature.dtype, copy=False)


def _transpose(signature: Signature, rows: list[Any]) -> list[Any]:
    width = len(signature.columns)
    for row in rows:
        if not isinstance(row, list) or len(row) != width:
            came = len(row) if isinstance(row, list) else "a text"
            raise InvalidInput(f"the job's rows have {came} features, this version takes {width}: submit it again")
    columns = list(zip(*rows, strict=True))
    for place, (column, values) in enumerate(zip(signature.columns, columns, strict=True)):
        _check_column(column, place, values)
    return columns


def _check_column(column: Column, place: int, values: Sequence[Any]) -> None:
    types = set(map(type, values))
    if type(None) in types and not column.nullable:
        raise InvalidInput(f"{_label(column, place)}: this version takes no missing values here")
    if not types <= _TYPES[column.takes] | {type(None)}:
        raise InvalidInput(f"{_label(column, place)}: this version takes {column.takes} here: submit the job again")


def _label(column: Column, place: int) -> str:
    return f"column {place}" if column.name is None else f"column {column.name!r}"


def _frame(signature: Signature, rows: list[list[Any]]) -> pd.DataFrame:
    dtypes = {column.dtype for column in signature.columns}
    if len(dtypes) == 1 and all(column.is_float for column in signature.columns):
        # One block instead of one array per column: an order of magnitude faster for small batches.
        types = set(map(type, chain.from_iterable(rows)))
        if types <= _TYPES[Takes.NUMBER] and set(map(len, rows)) == {len(signature.columns)}:
            return pd.DataFrame(np.array(rows, dtype=dtypes.pop()), columns=list(signature.names), copy=False)
    columns = _transpose(signature, rows)
    series = {
        str(column.name): _series(column, values) for column, values in zip(signature.columns, columns, strict=True)
    }
    return pd.DataFrame(series)


def _series(column: Column, values: Sequence[Any]) -> Any:
    if column.categories is not None:
        unknown = dict.fromkeys(value for value in values if value is not None and value not in column.categories)
        return pd.Categorical(values, categories=[*column.categories, *unknown])
    if column.kind is not Kind.NUMERIC:
        if column.dtype == "object":
            return np.array([np.nan if value is None else value for value in values], dtype=object)
        return pd.array(list(values), dtype=column.dtype)
    if None in values or column.is_float:
        return np.array(values, dtype=column.dtype if column.is_float else "float64")
    return _restore_integers(values) if column.dtype == "int64" else np.array(values, dtype=column.dtype)


def _restore_integers(values: Sequence[Any]) -> NDArray[Any]:
    """An int64 array when every value is whole; a model that saw whole numbers may also be asked for 3.5."""
    if all(isinstance(value, int) or value.is_integer() for value in values):
        try:
            return np.array([int(value) for value in values], dtype=np.int64)
        except OverflowError:
            return np.array(values, dtype=np.float64)
    return np.array(values, dtype=np.float64)
