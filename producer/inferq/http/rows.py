"""Rows as JSON, whatever they come as: lists, dicts, texts, arrays, Series and DataFrames; none of which is imported.

The gateway checks them against the model. Here only their form changes: one row becomes a list of one, and missing
values (None, NaN) become null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from inferq.items import rows_of_frame
from inferq_core.errors import InvalidInput


def needs_names(rows: Any) -> bool:
    """Whether it is a DataFrame or a Series, which says nothing of whether the model's columns have names."""
    return hasattr(rows, "columns") or hasattr(rows, "iloc")


def encode_rows(rows: Any, *, named: bool) -> bytes:
    """A JSON array of rows. `named`: whether the model's columns have names. Raises InvalidInput."""
    table = _table(rows, named=named)
    text = _dumps(table)
    if text is None:
        text = _dumps([_finite(row, (index,)) for index, row in enumerate(table)])
        assert text is not None
    return text


def encode_value(value: Any, name: str) -> bytes:
    """Any JSON value, metadata or ground truth. Raises InvalidInput."""
    text = _dumps(value)
    if text is None:
        raise InvalidInput(f"{name}: NaN and infinity are not JSON, give None")
    return text


def _table(rows: Any, *, named: bool) -> list[Any]:
    if hasattr(rows, "columns"):
        if not (hasattr(rows, "isna") or hasattr(rows, "notna")):
            raise InvalidInput(f"expected a pandas DataFrame, got {type(rows).__name__}: convert it to a list of dicts")
        return list(rows_of_frame(rows, named=named))
    if hasattr(rows, "iloc") and named:
        rows = rows.to_dict()
    if hasattr(rows, "tolist"):  # an array, or a Series
        rows = rows.tolist()
    if isinstance(rows, str | Mapping):
        return [rows]
    if not isinstance(rows, list | tuple):
        raise InvalidInput(f"expected a list of rows, a 2-D array or a DataFrame, got {type(rows).__name__}")
    table = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
    # Texts alone may be one row or rows of texts: that is for the model to say.
    if table and not any(isinstance(row, list | tuple | Mapping) for row in table):
        return table if all(isinstance(row, str) for row in table) else [table]
    return table


def _dumps(value: Any) -> bytes | None:
    """None when there is NaN or infinity inside. Raises InvalidInput for what JSON does not have."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, RecursionError) as error:
        raise InvalidInput(f"it cannot be written as JSON: {error}") from None
    except ValueError as error:
        if "Circular" in str(error):
            raise InvalidInput("it holds itself, so it cannot be written as JSON") from None
        return None
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("expected valid Unicode, got a text with half a surrogate pair") from None


def _plain(value: Any) -> Any:
    """What numpy's scalars and arrays, and mappings, are in JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no value of JSON")


def _finite(value: Any, place: tuple[int | str, ...]) -> Any:
    """The value with null for NaN. Raises InvalidInput for infinity."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        if math.isinf(value):
            where = ", ".join(f"{name} {part}" for name, part in zip(("row", "column"), place, strict=False))
            raise InvalidInput(
                f"{where}: expected a finite number, got {value}",
                place=place,
                expected="a finite number",
                got=str(value),
            )
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {name: _finite(item, (*place, name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item, (*place, index)) for index, item in enumerate(value)]
    return value
