"""Rows as they come from the command line and from files of lines."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from inferq_core.errors import InvalidInput
from inferq_core.signature import Signature

# A block ends with the row that fills it, so that memory does not grow with the file.
BLOCK_ROWS = 1_000
BLOCK_BYTES = 1024 * 1024
DIGEST_BYTES = 1024 * 1024


def parse_row(text: str) -> Any:
    """A row given as JSON. Raises InvalidInput."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(
            f"--row {text!r} is not JSON ({error}): give '[1, 2]', '{{\"name\": 1}}' or '\"text\"'"
        ) from None


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a file, in order. `places[i]` says where `rows[i]` stands.

    An array is in the order of the model's columns.
    """

    places: Sequence[int]
    rows: Sequence[Any] | NDArray[np.float64]


class RowFile(ABC):
    """A file of rows, as often read from its start as `blocks` is called. Values come as the model's columns take them.

    Raises InvalidInput that names the file and, where it can, the place.
    """

    format: str
    # What places count, and the first of them.
    place = "line"

    def __init__(self, path: Path, signature: Signature) -> None:
        self.path = path
        self.signature = signature
        try:
            self._stamp = _stamp(path.stat())
        except OSError as error:
            raise InvalidInput(f"--file {path}: {error.strerror}") from error
        self.size = self._stamp[1]  # bytes
        self.read = 0  # bytes, of the reading under way

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """The rows from the first on."""

    def digest(self, on_read: Callable[[], None]) -> str:
        """SHA-256 of the content, hexadecimal."""
        digest = hashlib.sha256()
        self.read = 0
        try:
            with self.path.open("rb") as file:
                while piece := file.read(DIGEST_BYTES):
                    digest.update(piece)
                    self.read += len(piece)
                    on_read()
        except OSError as error:
            raise InvalidInput(f"--file {self.path}: {error.strerror}") from error
        return digest.hexdigest()

    def where(self, place: int) -> str:
        return f"--file {self.path}, {self.place} {place}"

    def require_unchanged(self) -> None:
        """Raises InvalidInput when somebody wrote to the file since it was opened."""
        if _stamp(self.path.stat()) != self._stamp:
            raise InvalidInput(f"--file {self.path} was changed while it was read")


class LineFile(RowFile):
    """A file of text in UTF-8."""

    def blocks(self) -> Iterator[Block]:
        places: list[int] = []
        rows: list[Any] = []
        start = 0
        try:
            with self.path.open("rb") as raw:
                for place, row in self._rows(raw):
                    places.append(place)
                    rows.append(row)
                    self.read = raw.tell()
                    if len(rows) >= BLOCK_ROWS or self.read - start >= BLOCK_BYTES:
                        yield Block(places, self._shaped(rows))
                        places, rows, start = [], [], self.read
                if rows:
                    yield Block(places, self._shaped(rows))
        except OSError as error:
            raise InvalidInput(f"--file {self.path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            after = f" after line {places[-1]}" if places else ""
            raise InvalidInput(f"--file {self.path}{after}: not UTF-8 ({error.reason})") from error

    @abstractmethod
    def _rows(self, raw: IO[bytes]) -> Iterator[tuple[int, Any]]:
        """The rows with the numbers of their lines, counted from 1."""

    def _shaped(self, rows: list[Any]) -> Sequence[Any] | NDArray[np.float64]:
        """The rows of a block as the model takes them."""
        return rows


class JsonLinesFile(LineFile):
    """A row a line, as JSON; empty lines are none."""

    format = "ndjson"

    def _rows(self, raw: IO[bytes]) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(raw, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                try:
                    yield number, orjson.loads(text)
                except orjson.JSONDecodeError as error:
                    raise InvalidInput(f"{self.where(number)}: not JSON ({error})") from None


def open_rows(path: Path, signature: Signature) -> RowFile:
    """The file by its suffix. Raises InvalidInput."""
    from inferq.cli.csv_rows import CsvFile
    from inferq.cli.parquet_rows import ParquetFile

    kinds: dict[str, type[RowFile]] = {
        ".csv": CsvFile,
        ".ndjson": JsonLinesFile,
        ".jsonl": JsonLinesFile,
        ".parquet": ParquetFile,
    }
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise InvalidInput(f"--file {path}: give a .csv, .ndjson or .parquet file")
    return kind(path, signature)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
