"""Rows as they come from the command line and from files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from inferq_core.columns import Column, Layout, Takes
from inferq_core.errors import InvalidInput
from inferq_core.signature import Signature

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def parse_row(text: str) -> Any:
    """A row given as JSON. Raises InvalidInput."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(
            f"--row {text!r} is not JSON ({error}): give '[1, 2]', '{{\"name\": 1}}' or '\"text\"'"
        ) from None


def read_rows(path: Path, signature: Signature) -> Iterator[Any]:
    """The rows of a .csv or .ndjson file, one after the other.

    CSV of a model with named columns needs a header with these names; without names a header is skipped when its cells
    are no values. Cells are read as what their column takes; an empty cell is a missing value.

    Raises InvalidInput that names the file and line.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".ndjson", ".jsonl"):
        raise InvalidInput(f"--file {path}: give a .csv or .ndjson file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from (_read_csv(path, file, signature) if suffix == ".csv" else _read_ndjson(path, file))
    except OSError as error:
        raise InvalidInput(f"--file {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"--file {path}: {error}") from error


def _read_ndjson(path: Path, lines: Any) -> Iterator[Any]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise InvalidInput(f"--file {path}, line {number}: not JSON ({error})") from None


def _read_csv(path: Path, lines: Any, signature: Signature) -> Iterator[Any]:
    reader = csv.reader(lines)
    first = next(reader, None)
    if first is None:
        return
    if signature.layout is Layout.FRAME:
        by_name = {column.name: column for column in signature.columns}
        columns = [by_name.get(name) for name in first]
    else:
        columns = list(signature.columns)
        if not _is_header(first, signature.columns):
            yield _shape(signature, first, columns, path, 1)
    for cells in reader:
        if cells:
            yield _shape(signature, cells, columns, path, reader.line_num, names=first)


def _shape(
    signature: Signature,
    cells: Sequence[str],
    columns: Sequence[Column | None],
    path: Path,
    line: int,
    *,
    names: Sequence[str] = (),
) -> Any:
    if len(cells) != len(columns):
        raise InvalidInput(f"--file {path}, line {line}: expected {len(columns)} cells, got {len(cells)}")
    values = [_cell(text, column) for text, column in zip(cells, columns, strict=True)]
    if signature.layout is Layout.FRAME:
        return dict(zip(names, values, strict=True))
    return values[0] if signature.layout is Layout.TEXTS else values


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
