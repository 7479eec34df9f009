"""Rows as they come from the command line, and files of rows by their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from inferq.sources.bytes import FileSource
from inferq.sources.csv_rows import CsvReader
from inferq.sources.parquet_rows import ParquetReader
from inferq.sources.rows import JsonLinesReader, RowReader
from inferq_core.errors import InvalidInput
from inferq_core.signature import Signature

KINDS: dict[str, type[CsvReader | JsonLinesReader | ParquetReader]] = {
    ".csv": CsvReader,
    ".ndjson": JsonLinesReader,
    ".jsonl": JsonLinesReader,
    ".parquet": ParquetReader,
}


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file, and what reads its rows."""

    source: FileSource
    reader: RowReader[Any]


def parse_row(text: str) -> Any:
    """A row given as JSON. Raises InvalidInput."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(
            f"--row {text!r} is not JSON ({error}): give '[1, 2]', '{{\"name\": 1}}' or '\"text\"'"
        ) from None


def open_rows(path: Path, signature: Signature) -> RowFile:
    """The file by its suffix. Raises InvalidInput."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise InvalidInput(f"--file {path}: give a .csv, .ndjson or .parquet file")
    source = FileSource(path, f"--file {path}")
    return RowFile(source, kind(source, signature))
