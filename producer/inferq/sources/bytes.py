"""Where the bytes of rows come from."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO

from inferq_core.errors import InvalidInput

DIGEST_BYTES = 1024 * 1024


class Source(ABC):
    """Bytes, and what they are called in messages. `read`: how many of them became rows, of the reading under way."""

    name: str
    read = 0

    @abstractmethod
    def open(self) -> IO[bytes]:
        """From the first byte on."""


class FileSource(Source):
    """A file, as often read as it is opened. Raises InvalidInput when it cannot be."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        try:
            self._stamp = _stamp(path.stat())
        except OSError as error:
            raise InvalidInput(f"{name}: {error.strerror}") from error
        self.size = self._stamp[1]  # bytes

    def open(self) -> IO[bytes]:
        return self.path.open("rb")

    def digest(self, on_read: Callable[[], None]) -> str:
        """SHA-256 of the content, hexadecimal."""
        digest = hashlib.sha256()
        self.read = 0
        try:
            with self.open() as file:
                while piece := file.read(DIGEST_BYTES):
                    digest.update(piece)
                    self.read += len(piece)
                    on_read()
        except OSError as error:
            raise InvalidInput(f"{self.name}: {error.strerror}") from error
        return digest.hexdigest()

    def require_unchanged(self) -> None:
        """Raises InvalidInput when somebody wrote to the file since it was opened."""
        if _stamp(self.path.stat()) != self._stamp:
            raise InvalidInput(f"{self.name} was changed while it was read")


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
