"""A request's body as a file: the event loop feeds it, a thread reads it, and neither holds much of it."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque
from collections.abc import Callable
from typing import IO, cast

from inferq.sources.bytes import Source
from inferq_core.errors import InvalidInput

# Bytes that were received and not read, above which no more is received.
HELD_BYTES = 1024 * 1024
BUFFER_BYTES = 64 * 1024
# Seconds after which a thread that waits for more looks around.
LOOK_SECONDS = 1.0


class Body(Source):
    """Made on the event loop, for one thread to read once.

    `max_row_bytes`: a row of more ends the reading, so that memory is bounded. `between`: what the thread does now and
    then while it reads; what that raises ends the reading.
    """

    name = "the body"

    def __init__(self, max_row_bytes: int) -> None:
        self.received = 0
        self.between: Callable[[], None] = lambda: None
        self._max_row_bytes = max_row_bytes
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._pieces: deque[memoryview] = deque()
        self._held = 0
        self._changed = threading.Condition()
        self._over = False
        self._error: Exception | None = None

    @property
    def over(self) -> bool:
        """Nothing more comes."""
        return self._over

    async def put(self, piece: bytes) -> None:
        """Received; returns when more may be. Of the loop."""
        with self._changed:
            self.received += len(piece)
            if piece and not self._over:
                self._pieces.append(memoryview(piece))
                self._held += len(piece)
            full = self._held >= HELD_BYTES
            if full:
                self._room.clear()
            self._changed.notify()
        if full:
            await self._room.wait()

    def end(self, error: Exception | None = None, *, at_once: bool = False) -> None:
        """Nothing more comes, and after what has come (or at once) the reader gets the error. Of the loop."""
        with self._changed:
            if not self._over:
                self._over, self._error = True, error
            if at_once:
                self._error = self._error or error
                self._pieces.clear()
                self._held = 0
            self._changed.notify()
        self._room.set()

    def open(self) -> IO[bytes]:
        return io.BufferedReader(cast("io.RawIOBase", _Raw(self)), BUFFER_BYTES)

    def heed(self) -> None:
        """Look around, as often as there is time. Raises what ended the body when it broke off. Of the thread."""
        self.between()
        if self._error is not None and not self._pieces:
            raise self._error

    def take(self, most: int, position: int) -> memoryview:
        """Up to `most` bytes, the first of them at `position`; none at the end. Of the thread."""
        if position - self.read > self._max_row_bytes:
            raise InvalidInput(f"{self.name}: no row ends within {self._max_row_bytes} bytes after byte {self.read}")
        self.heed()
        while True:
            with self._changed:
                if not self._pieces and not self._over:
                    self._changed.wait(LOOK_SECONDS)
                if self._pieces:
                    return self._taken(most)
                if self._over and self._error is None:
                    return memoryview(b"")
            self.heed()

    def _taken(self, most: int) -> memoryview:
        piece = self._pieces.popleft()
        if len(piece) > most:
            self._pieces.appendleft(piece[most:])
            piece = piece[:most]
        was_full = self._held >= HELD_BYTES
        self._held -= len(piece)
        if was_full and self._held < HELD_BYTES:
            self._loop.call_soon_threadsafe(self._room.set)
        return piece


class _Raw(io.RawIOBase):
    def __init__(self, body: Body) -> None:
        super().__init__()
        self._body = body
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer
        piece = self._body.take(len(buffer), self._position)
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position
