"""Many jobs from one iterable: what is an item. Nothing but the standard library: the HTTP client has no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inferq_core.errors import InvalidInput


def items_of(items: Any, *, named: bool) -> Iterable[Any]:
    """What `items` holds, one job each: the rows of a DataFrame or matrix, the elements of anything else iterable.

    A DataFrame's rows come as dicts when the model's columns are `named`, else by position.
    """
    if isinstance(items, str | bytes | Mapping):
        raise InvalidInput(f"give many items, one job each: this is one {type(items).__name__}. submit() takes one job")
    if hasattr(items, "itertuples") and hasattr(items, "columns"):
        return rows_of_frame(items, named=named)
    if not hasattr(items, "__iter__"):
        raise InvalidInput(f"give an iterable of items, one job each, not {type(items).__name__}")
    return items  # type: ignore[no-any-return]


def rows_of_frame(frame: Any, *, named: bool) -> Iterator[Any]:
    """The rows of a DataFrame: dicts when the model's columns are `named`, else lists by position."""
    # pandas has several missing values and one test for all of them; None stands for each.
    values = frame.astype(object).where(frame.notna(), None)
    names = list(frame.columns)
    for row in values.itertuples(index=False, name=None):
        yield dict(zip(names, row, strict=True)) if named else list(row)
