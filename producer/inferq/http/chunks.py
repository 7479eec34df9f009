"""Items of a bulk submit, as many as go in one request."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from inferq.http.rows import encode_rows
from inferq_core.errors import InvalidInput

# Jobs of one request: what the gateway takes (its `MAX_ITEMS`), and of a stream, so that workers start early.
MAX_ITEMS = 10_000
STREAMED_ITEMS = 1_000
# Bytes of one request, a quarter of what a gateway reads by default.
MAX_BYTES = 8 * 1024 * 1024
# A slow source: a chunk leaves with the first item that comes so many seconds after its start.
CHUNK_SECONDS = 0.1


class Chunk:
    """Items on their way; `first` is the position of its first one. `streamed`: it leaves early."""

    def __init__(self, first: int, *, named: bool, streamed: bool) -> None:
        self.first = first
        self._named = named
        self._streamed = streamed
        self._items: list[bytes] = []
        self._bytes = 0
        self._started = 0.0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def text(self) -> bytes:
        """A JSON array with the rows of each item."""
        return b"[" + b",".join(self._items) + b"]"

    def add(self, item: Any) -> bool:
        """Whether it is full with this item. Raises InvalidInput that names the item."""
        now = time.monotonic()
        self._started = self._started if self._items else now
        try:
            text = encode_rows(item, named=self._named)
        except InvalidInput as error:
            position = self.first + len(self)
            raise InvalidInput(
                f"item {position}: {error}", place=(position, *error.place), expected=error.expected, got=error.got
            ) from error
        self._items.append(text)
        self._bytes += len(text)
        late = self._streamed and now - self._started >= CHUNK_SECONDS
        return late or len(self) >= (STREAMED_ITEMS if self._streamed else MAX_ITEMS) or self._bytes >= MAX_BYTES

    def next(self) -> Chunk:
        """The one after it, empty."""
        return Chunk(self.first + len(self), named=self._named, streamed=self._streamed)


def chunks(items: Iterable[Any], *, named: bool, streamed: bool) -> Iterator[Chunk]:
    """The items in order; a chunk is handed out before the next item is drawn."""
    chunk = Chunk(0, named=named, streamed=streamed)
    for item in items:
        if chunk.add(item):
            yield chunk
            chunk = chunk.next()
    if len(chunk):
        yield chunk
