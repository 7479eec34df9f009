"""Rows of lines, in blocks: memory does not grow with their source."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from inferq.sources.bytes import Source
from inferq_core.errors import InvalidInput
from inferq_core.signature import Signature

# A block ends with the row that fills it, or that comes so many seconds after its first one.
BLOCK_ROWS = 1_000
BLOCK_BYTES = 1024 * 1024
BLOCK_SECONDS = 1.0

From = TypeVar("From", bound=Source)


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a source, in order. `places[i]` says where `rows[i]` stands.

    An array is in the order of the model's columns.
    """

    places: Sequence[int]
    rows: Sequence[Any] | NDArray[np.float64]


class UnreadableRow(InvalidInput):
    """At this place (see `RowReader.where`) is no row, or none that fits; `column`: the one at fault, if it is one."""

    def __init__(
        self,
        message: str,
        at: int,
        *,
        counted: str = "line",
        column: int | str | None = None,
        expected: str | None = None,
        got: str | None = None,
    ) -> None:
        super().__init__(message, expected=expected, got=got)
        self.at = at
        self.counted = counted
        self.column = column


class RowReader(ABC, Generic[From]):
    """The rows of a source, as often read as it can be opened. Values come as the model's columns take them.

    Raises InvalidInput that names the source and, where it can, the place.
    """

    format: str
    # What places count, and the first of them.
    place = "line"

    def __init__(self, source: From, signature: Signature) -> None:
        self.source = source
        self.signature = signature

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """The rows from the first on."""

    def where(self, place: int) -> str:
        return f"{self.source.name}, {self.place} {place}"

    def refused(self, place: int, error: InvalidInput) -> UnreadableRow:
        """What a signature said of the row at this place, alone."""
        # It counts rows within the job; here the job is one row.
        reason = f"{self.where(place)}: {re.sub(r'^row 0[:,] ', '', str(error))}"
        column = error.place[1] if len(error.place) > 1 else None
        return UnreadableRow(reason, place, counted=self.place, column=column, expected=error.expected, got=error.got)


class LineReader(RowReader[Source]):
    """A text in UTF-8."""

    def blocks(self) -> Iterator[Block]:
        block = Block([], [])
        try:
            with self.source.open() as raw:
                for block in self._blocks(raw):
                    yield block
        except OSError as error:
            raise InvalidInput(f"{self.source.name}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            after = f" after line {block.places[-1]}" if block.places else ""
            raise InvalidInput(f"{self.source.name}{after}: not UTF-8 ({error.reason})") from error

    def _blocks(self, raw: IO[bytes]) -> Iterator[Block]:
        """What was read before a place that is no row comes as a block of its own, before that is raised."""
        places: list[int] = []
        rows: list[Any] = []
        bound, started = BLOCK_BYTES, 0.0
        found = self._rows(raw)
        while True:
            try:
                place, row = next(found)
            except StopIteration:
                break
            except (InvalidInput, UnicodeDecodeError):
                if rows:
                    yield Block(places, self._shaped(rows))
                raise
            started = started if rows else time.monotonic()
            places.append(place)
            rows.append(row)
            self.source.read = raw.tell()
            late = time.monotonic() - started >= BLOCK_SECONDS
            if len(rows) >= BLOCK_ROWS or self.source.read >= bound or late:
                yield Block(places, self._shaped(rows))
                places, rows, bound = [], [], self.source.read + BLOCK_BYTES
        if rows:
            yield Block(places, self._shaped(rows))

    @abstractmethod
    def _rows(self, raw: IO[bytes]) -> Iterator[tuple[int, Any]]:
        """The rows with the numbers of their lines, counted from 1."""

    def _shaped(self, rows: list[Any]) -> Sequence[Any] | NDArray[np.float64]:
        """The rows of a block as the model takes them."""
        return rows


class JsonLinesReader(LineReader):
    """A row a line, as JSON; empty lines are none."""

    format = "ndjson"

    def _rows(self, raw: IO[bytes]) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(raw, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                try:
                    yield number, orjson.loads(text)
                except orjson.JSONDecodeError as error:
                    reason = f"{self.where(number)}: not JSON ({error})"
                    raise UnreadableRow(reason, number, expected="JSON", got=str(error)) from None
