"""Ctrl-C, SIGTERM and a closed terminal: the first stops in order, a second Ctrl-C at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """The first of the signals raises KeyboardInterrupt in the main thread; then SIGINT calls `at_once`.

    Only Ctrl-C counts as a second wish: shells and `timeout` deliver one SIGTERM or SIGHUP twice.
    """

    def __init__(self, at_once: Callable[[], None]) -> None:
        self._at_once = at_once
        self._previous: dict[signal.Signals, Any] = {}
        self._is_deferring = False
        self._is_stopping = False
        self.came = False

    def install(self) -> None:
        self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}

    def restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def stopping(self) -> None:
        """From now on a signal interrupts nothing: the stop is under way."""
        self._is_stopping = True

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A KeyboardInterrupt that would come inside comes at the end."""
        self._is_deferring = True
        try:
            yield
        finally:
            self._is_deferring = False
            if self.came and not self._is_stopping:
                self._interrupt()

    def _handle(self, number: int, _: Any) -> None:
        if self.came or self._is_stopping:
            if number == signal.SIGINT:
                self._at_once()
            return
        self.came = True
        if not self._is_deferring:
            self._interrupt()

    def _interrupt(self) -> None:
        self._is_stopping = True
        raise KeyboardInterrupt
