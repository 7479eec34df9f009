"""Rows on their way in: every value checked against the model's columns, then written as JSON.

The stored text depends on the layout. MATRIX and OBJECTS: `[[1.5,2.0],…]`. TEXTS: `["…",…]`.
FRAME: `{"columns":["a","b"],"rows":[[…],…]}`, with the names inside so that a version whose columns stand in another
order still reads the job right. Missing values are null. Numbers come back bit for bit: floats are written with the
shortest digits that give the same float64, and float32 values are widened first.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from inferq_core.columns import Column, Layout, Takes
from inferq_core.errors import InvalidInput

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
# Kinds of numpy's dtypes that are numbers here: float, int, unsigned, bool.
NUMBERS = "fiub"
# What NaN and infinity become in JSON. Looking for it in the text of a few rows is the cheapest check of all.
NULL = "null"
# Longest piece of a foreign value, in characters, that an error message shows.
SHOWN = 60


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """Rows that fit a model. `json` is their text as stored in `jobs.inputs`."""

    n_rows: int
    json: str

    def within(self, max_bytes: int) -> CheckedRows:
        """Itself. Raises InvalidInput when its text has more bytes (UTF-8)."""
        size = len(self.json) if self.json.isascii() else len(self.json.encode())
        if size > max_bytes:
            raise InvalidInput(
                f"the rows of one job have {size:,} bytes as JSON, at most {max_bytes:,} are taken "
                "(INFERQ_MAX_JOB_BYTES): submit several jobs"
            )
        return self


def check_rows(layout: Layout, columns: Sequence[Column], rows: Any, *, max_rows: int | None = None) -> CheckedRows:
    """See `Signature.check`, whose work this is."""
    table = _table(layout, columns, rows)
    n_rows = len(table)
    if n_rows == 0:
        raise InvalidInput("no rows: expected at least one row, got an empty input")
    if max_rows is not None and n_rows > max_rows:
        raise InvalidInput(
            f"{n_rows} rows in one job, at most {max_rows} are taken (INFERQ_MAX_ROWS_PER_JOB): submit several jobs"
        )
    if layout is Layout.MATRIX or all(column.is_float for column in columns):
        matrix = _as_numbers(table)
        if matrix is not None:
            _check_width(columns, matrix)
            text = _dump(matrix)
            if NULL in text:
                _check_finite(columns, matrix)
            return CheckedRows(n_rows, _wrap(layout, columns, text))
    cells = [_check_row(columns, index, row) for index, row in enumerate(table)]
    data: list[Any] = [row[0] for row in cells] if layout is Layout.TEXTS else cells
    return CheckedRows(n_rows, _wrap(layout, columns, _dump_cells(columns, cells, data)))


def check_each(
    layout: Layout, columns: Sequence[Column], items: Sequence[Any] | NDArray[Any]
) -> list[CheckedRows] | None:
    """See `Signature.check_each`, whose work this is."""
    if not (layout is Layout.MATRIX or all(column.is_float for column in columns)):
        return None
    try:
        table = items if isinstance(items, np.ndarray) else _stack(items)
        if table is None:
            return None
        matrix = _as_numbers(_table(layout, columns, table))
        if matrix is None or len(matrix) != len(items):
            return None
        _check_width(columns, matrix)
        _check_finite(columns, matrix)
    except InvalidInput:
        return None
    before, after = _wrap(layout, columns, "\0").split("\0")
    return [CheckedRows(1, f"{before}{_dump(matrix[row : row + 1])}{after}") for row in range(len(matrix))]


def _stack(items: Sequence[Any]) -> Sequence[Any] | NDArray[Any] | None:
    """Items that may be the rows of one table: as one array when they are arrays. None for what is no row."""
    if all(type(item) is np.ndarray and item.ndim == 1 for item in items):
        try:
            return np.stack(items)
        except ValueError:  # of different lengths
            return None
    return items if all(isinstance(item, (list, Mapping)) for item in items) else None


def _wrap(layout: Layout, columns: Sequence[Column], text: str) -> str:
    if layout is not Layout.FRAME:
        return text
    names = orjson.dumps([column.name for column in columns]).decode()
    return f'{{"columns":{names},"rows":{text}}}'


# From whatever came to a table: an array of two dimensions, or a list of rows in the model's order.


def _table(layout: Layout, columns: Sequence[Column], rows: Any) -> NDArray[Any] | list[Any]:
    if hasattr(rows, "columns"):
        return _from_frame(layout, columns, rows)
    if hasattr(rows, "iloc"):  # a pandas Series
        rows = rows.to_dict() if layout is Layout.FRAME else rows.tolist()
    if hasattr(rows, "__array__"):
        return _from_array(layout, np.asanyarray(rows))
    if isinstance(rows, Mapping) or (isinstance(rows, str) and layout is Layout.TEXTS):
        rows = [rows]
    if not isinstance(rows, (list, tuple)):
        wanted = "a str or a list of str" if layout is Layout.TEXTS else "a list of rows, a 2-D array or a DataFrame"
        raise InvalidInput(f"expected {wanted}, got {_show(rows)}")
    return _from_list(layout, columns, rows)


def _from_list(layout: Layout, columns: Sequence[Column], rows: Sequence[Any]) -> list[Any]:
    if any(isinstance(row, Mapping) for row in rows):
        return _from_dicts(layout, columns, rows)
    if layout is Layout.TEXTS:
        return [[row] if isinstance(row, str) else row for row in rows]
    if rows and not any(isinstance(row, (list, tuple, np.ndarray)) for row in rows):
        return [rows]  # scalars only: one row by position
    return list(rows)


def _from_array(layout: Layout, array: NDArray[Any]) -> NDArray[Any]:
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise InvalidInput("a masked array hides some values: replace them (`.filled(…)`) before submitting")
    if array.ndim == 1:
        return array.reshape(1, -1) if array.size and layout is not Layout.TEXTS else array.reshape(-1, 1)
    if array.ndim != 2:  # noqa: PLR2004
        raise InvalidInput(f"expected an array of shape (n_rows, n_features), got shape {array.shape}")
    return array


def _from_frame(layout: Layout, columns: Sequence[Column], frame: Any) -> NDArray[Any] | list[Any]:
    if not (hasattr(frame, "isna") and hasattr(frame, "to_numpy")):
        raise InvalidInput(
            f"expected a pandas DataFrame, got {_show(frame)}: convert it to pandas or to a list of dicts"
        )
    if layout is Layout.FRAME:
        names = list(frame.columns)
        _check_names(columns, names, "the DataFrame")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInput(f"the DataFrame has column {twice[0]!r} more than once")
        frame = frame[[column.name for column in columns]]
    if all(column.is_float for column in columns):
        values = frame.to_numpy()
        if values.dtype.kind in NUMBERS:
            return _from_array(layout, values)
    # pandas has several missing values (NaN, None, NA, NaT) and one test for all of them.
    values = frame.to_numpy(dtype=object, copy=True)
    values[frame.isna().to_numpy(dtype=bool)] = None
    return _from_array(layout, values)


def _from_dicts(layout: Layout, columns: Sequence[Column], rows: Sequence[Any]) -> list[Any]:
    if layout is not Layout.FRAME:
        raise InvalidInput(f"this model's columns have no names: expected rows of {_width(columns)}, got a dict")
    names = [column.name for column in columns]
    wanted = set(names)
    table = []
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise _unfit(f"row {index}", (index,), "a dict like the other rows", _show(row))
        if row.keys() != wanted:
            _check_names(columns, list(row), f"row {index}", (index,))
        table.append([row[name] for name in names])
    return table


def _check_names(
    columns: Sequence[Column], names: Sequence[Any], where: str, place: tuple[int | str, ...] = ()
) -> None:
    """Raises InvalidInput unless `names` holds each column's name and no other."""
    wanted = [column.name for column in columns if column.name is not None]
    missing = [name for name in wanted if name not in names]
    unknown = [name for name in names if name not in wanted]
    if not missing and not unknown:
        return
    problems = [f"column {name!r} is missing" for name in missing[:3]]
    for name in unknown[:3]:
        close = difflib.get_close_matches(str(name), wanted, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        problems.append(f"column {_show(name)} is unknown{hint}")
    expected = ", ".join(repr(name) for name in wanted[:40]) + (", …" if len(wanted) > 40 else "")  # noqa: PLR2004
    raise InvalidInput(
        f"{where}: {'; '.join(problems)}. Expected {len(wanted)} columns ({expected}), got {len(names)}",
        place=place,
        expected=f"{len(wanted)} columns ({expected})",
        got="; ".join(problems),
    )


# Numbers by the matrix.


def _as_numbers(table: NDArray[Any] | list[Any]) -> NDArray[np.float64] | None:
    """The table as float64, or None when it is not made of numbers alone (then rows are looked at one by one)."""
    try:
        array = np.asarray(table)
    except (ValueError, TypeError, OverflowError):  # ragged, or nested too deep
        return None
    if array.ndim != 2 or array.dtype.kind not in NUMBERS:  # noqa: PLR2004
        return None
    return np.ascontiguousarray(array, dtype=np.float64)


def _check_width(columns: Sequence[Column], matrix: NDArray[np.float64]) -> None:
    if matrix.shape[1] != len(columns):
        raise _unfit("row 0", (0,), _width(columns), str(matrix.shape[1]))


def _check_finite(columns: Sequence[Column], matrix: NDArray[np.float64]) -> None:
    """Raises InvalidInput for infinity, and for NaN where a column takes no missing values."""
    bad = ~np.isfinite(matrix)
    if bad.any():
        nullable = np.fromiter((column.nullable for column in columns), dtype=bool, count=len(columns))
        bad &= ~(np.isnan(matrix) & nullable)
        if bad.any():
            row, column = (int(index) for index in np.argwhere(bad)[0])
            _refuse(columns, row, column, matrix[row, column].item())


def _dump(matrix: NDArray[np.float64]) -> str:
    return orjson.dumps(matrix, option=orjson.OPT_SERIALIZE_NUMPY).decode()


# Everything else by the cell.


def _check_row(columns: Sequence[Column], index: int, row: Any) -> list[Any]:
    if not isinstance(row, (list, tuple)):
        if not (isinstance(row, np.ndarray) and row.ndim == 1):
            expected = "a string" if _is_text(columns) else _width(columns)
            raise _unfit(f"row {index}", (index,), expected, _show(row))
        row = row.tolist()
    if len(row) != len(columns):
        raise _unfit(f"row {index}", (index,), _width(columns), str(len(row)))
    return [_check_cell(columns, index, place, value) for place, value in enumerate(row)]


def _check_cell(columns: Sequence[Column], row: int, place: int, value: Any) -> Any:
    """The value as a plain Python object (str, bool, int, finite float or None)."""
    column = columns[place]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None if column.nullable else _refuse(columns, row, place, value)
    takes = column.takes
    if takes is Takes.STRING:
        return str(value) if isinstance(value, str) else _refuse(columns, row, place, value)
    if not isinstance(value, (int, float)) or (isinstance(value, float) and math.isinf(value)):
        _refuse(columns, row, place, value)
    if takes is Takes.BOOLEAN:
        return bool(value) if value in (0, 1) else _refuse(columns, row, place, value)
    return _number(columns, row, place, value)


def _number(columns: Sequence[Column], row: int, place: int, value: float) -> float:
    if isinstance(value, int) and INT64_MIN <= value <= INT64_MAX and not columns[place].is_float:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        _refuse(columns, row, place, math.inf)


def _dump_cells(columns: Sequence[Column], cells: list[list[Any]], data: list[Any]) -> str:
    try:
        return orjson.dumps(data).decode()
    except TypeError:  # a string with half a surrogate pair: no UTF-8 exists for it
        for index, row in enumerate(cells):
            for place, value in enumerate(row):
                if isinstance(value, str) and not _is_unicode(value):
                    where = f"row {index}, {_label(columns, place)}"
                    raise InvalidInput(f"{where}: expected valid Unicode, got {_show(value)}") from None
        raise


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# Words for messages.


def _refuse(columns: Sequence[Column], row: int, place: int, value: Any) -> NoReturn:
    column = columns[place]
    expected = str(column.takes)
    if column.takes is Takes.NUMBER and isinstance(value, float):
        expected = "a finite number"
    if column.nullable:
        expected += " or null"
    elif value is None or (isinstance(value, float) and math.isnan(value)):
        expected += " (this model takes no missing values here)"
    name = column.name
    raise _unfit(f"row {row}, {_label(columns, place)}", (row, place if name is None else name), expected, _show(value))


def _unfit(where: str, place: tuple[int | str, ...], expected: str, got: str) -> InvalidInput:
    return InvalidInput(f"{where}: expected {expected}, got {got}", place=place, expected=expected, got=got)


def _label(columns: Sequence[Column], place: int) -> str:
    name = columns[place].name
    return f"column {place}" if name is None else f"column {name!r}"


def _is_text(columns: Sequence[Column]) -> bool:
    return len(columns) == 1 and columns[0].takes is Takes.STRING


def _width(columns: Sequence[Column]) -> str:
    return f"{len(columns)} feature{'' if len(columns) == 1 else 's'}"


def _show(value: Any) -> str:
    """A foreign value in a message: short, and never by the code of a class that nobody knows."""
    if value is None:
        return "null"
    if not isinstance(value, (str, int, float)):
        return f"a value of type {type(value).__name__}"
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        return f"a value of type {type(value).__name__}"
    text = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return f"{text} ({type(value).__name__})"
