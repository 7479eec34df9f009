"""What an estimator returned, as JSON-able Python values."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from inferq_core.errors import UnusableOutput


def as_rows(raw: Any, n_rows: int) -> list[Any]:
    """`raw` as a list of `n_rows` items: numbers, strings, booleans, or lists of them.

    Takes arrays of any number of dimensions, sparse matrices, DataFrames, lists, and the list of arrays that
    `predict_proba` of several outputs returns (each item is then a list with the probabilities of each output).
    Raises UnusableOutput for NaN, infinity, another length, and what JSON cannot hold.
    """
    if hasattr(raw, "toarray"):
        raw = raw.toarray()
    elif hasattr(raw, "iloc"):
        raw = raw.to_numpy()
    if isinstance(raw, list) and raw and all(isinstance(item, np.ndarray) and item.ndim == 2 for item in raw):  # noqa: PLR2004
        rows = [list(items) for items in zip(*(as_rows(item, n_rows) for item in raw), strict=True)]
    elif isinstance(raw, np.ndarray) and raw.ndim > 0 and raw.dtype.kind in "fiubU":
        if raw.dtype.kind == "f" and not np.isfinite(raw).all():
            row = int(np.argwhere(~np.isfinite(raw))[0][0])
            raise UnusableOutput(f"row {row}: the model returned NaN or infinity")
        rows = raw.tolist()
    elif isinstance(raw, (list, tuple)) or (isinstance(raw, np.ndarray) and raw.dtype == object and raw.ndim > 0):
        rows = [_plain(item, row) for row, item in enumerate(raw)]
    else:
        dtype = f" of dtype {raw.dtype}" if isinstance(raw, np.ndarray) else ""
        raise UnusableOutput(f"the model returned a {type(raw).__name__}{dtype}, expected an array or a list")
    if len(rows) != n_rows:
        raise UnusableOutput(f"the model returned {len(rows)} outputs for {n_rows} rows")
    return rows


def _plain(item: Any, row: int) -> Any:
    if isinstance(item, (list, tuple, np.ndarray)) and np.ndim(item) > 0:
        return [_plain(inner, row) for inner in item]
    if isinstance(item, (np.generic, np.ndarray)):
        item = item.item()
    if not isinstance(item, (str, bool, int, float)):
        raise UnusableOutput(f"row {row}: the model returned a {type(item).__name__}, which JSON cannot hold")
    if isinstance(item, float) and not np.isfinite(item):
        raise UnusableOutput(f"row {row}: the model returned NaN or infinity")
    try:
        orjson.dumps(item)
    except TypeError as error:
        raise UnusableOutput(f"row {row}: JSON cannot hold what the model returned ({error})") from None
    return item
