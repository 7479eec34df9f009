"""Ctrl-C during work that has better and worse moments to end."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import Any, Self


class Stop:
    """Within it the first Ctrl-C only sets `requested`, for the work to end by itself; a second one ends it at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: object) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, self._before)
