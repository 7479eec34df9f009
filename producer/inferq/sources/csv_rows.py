"""Rows of a CSV file: cells are texts, and become what their column takes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from inferq.sources.rows import LineReader, UnreadableRow
from inferq_core.columns import Column, Layout, Takes

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


class CsvReader(LineReader):
    """A model with named columns needs a header with these names; an empty cell is a missing value.

    Without names, a header is skipped when its cells are no values.
    """

    format = "csv"
    _header: Sequence[str] = ()
    _columns: Sequence[Column | None] = ()
    _order: Sequence[int] | None = None  # where the cells of the model's columns stand, when all are floats

    def _rows(self, raw: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
        try:
            first = next(reader, None)
            if first is None:
                return
            self._read_header(first)
            if not self._header:
                yield reader.line_num, self._whole(first, reader.line_num)
            for cells in reader:
                if cells:
                    yield reader.line_num, self._whole(cells, reader.line_num)
        except csv.Error as error:
            raise UnreadableRow(f"{self.where(reader.line_num)}: {error}", reader.line_num) from error

    def _read_header(self, first: Sequence[str]) -> None:
        columns = self.signature.columns
        if self.signature.layout is Layout.FRAME:
            twice = next((name for name in first if first.count(name) > 1), None)
            if twice is not None:
                raise UnreadableRow(f"{self.where(1)}: column {twice!r} is there more than once", 1)
            by_name = {column.name: column for column in columns}
            self._header, self._columns = first, [by_name.get(name) for name in first]
        else:
            self._header, self._columns = (first if _is_header(first, columns) else ()), columns
        self._order = self._order_of_floats()

    def _order_of_floats(self) -> Sequence[int] | None:
        signature = self.signature
        if not all(column.is_float for column in signature.columns):
            return None
        if signature.layout is not Layout.FRAME:
            return range(len(signature.columns))
        if sorted(self._header) != sorted(signature.names):
            return None
        return [self._header.index(name) for name in signature.names]

    def _whole(self, cells: list[str], line: int) -> list[str]:
        if len(cells) != len(self._columns):
            expected, got = f"{len(self._columns)} cells", str(len(cells))
            reason = f"{self.where(line)}: expected {expected}, got {got}"
            raise UnreadableRow(reason, line, expected=expected, got=got)
        return cells

    def _shaped(self, rows: list[Any]) -> Sequence[Any] | NDArray[np.float64]:
        if self._order is not None:
            table = np.array(rows, dtype=object)[:, self._order]
            table[(table == "") & [column.nullable for column in self.signature.columns]] = "nan"
            try:
                return table.astype(np.float64)
            except ValueError:  # a cell that is no number: cell by cell, so that it can be shown
                pass
        return [self._row(cells) for cells in rows]

    def _row(self, cells: Sequence[str]) -> Any:
        values = [_cell(text, column) for text, column in zip(cells, self._columns, strict=True)]
        if self.signature.layout is Layout.FRAME:
            return dict(zip(self._header, values, strict=True))
        return values[0] if self.signature.layout is Layout.TEXTS else values


def _cell(text: str, column: Column | None) -> Any:
    """The cell as its column takes it; what does not fit stays text, and the signature's check names it."""
    if text == "" and (column is None or column.nullable or column.takes is not Takes.STRING):
        return None
    if column is None or column.takes is Takes.STRING:
        return text
    if column.takes is Takes.BOOLEAN:
        return BOOLEANS.get(text.strip().lower(), text)
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _is_header(cells: Sequence[str], columns: Sequence[Column]) -> bool:
    return any(
        column.takes is not Takes.STRING and isinstance(_cell(text, column), str)
        for text, column in zip(cells, columns, strict=False)
    )
