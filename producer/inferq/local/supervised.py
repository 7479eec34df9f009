"""One process that is started again whenever it ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from inferq.local.process import ChildProcess
from inferq.local.restarts import describe_end, next_delay


class Supervised:
    """A running process, and what it takes to start another in its place; `restarts` decides when.

    `start` starts that other one, from the main thread; `is_ready` tells whether a process does its work.
    """

    def __init__(
        self,
        child: ChildProcess,
        start: Callable[[], ChildProcess],
        is_ready: Callable[[ChildProcess], bool],
        say: Callable[[str], None],
    ) -> None:
        self.child = child
        self._start = start
        self._is_ready = is_ready
        self._say = say
        self._delay: float | None = None
        self._due: float | None = None  # when it starts again; None while it runs
        self._is_back = True
        self._started = time.monotonic()

    def wait_ready(self, *, timeout: float, meanwhile: Callable[[], None]) -> None:
        """Return when it does its work. Raises StartFailed when it ends before; `meanwhile` may raise for others."""

        def is_ready() -> bool:
            meanwhile()
            return self._is_ready(self.child)

        self.child.wait_ready(is_ready, timeout=timeout)

    def tend(self) -> None:
        """Notice that it ended, start it again when that is due, and say both."""
        now = time.monotonic()
        if self._due is not None:
            if now >= self._due:
                self._restart(now)
        elif self.child.exit_code is not None:
            self._notice_end(self.child.exit_code, now)
        elif not self._is_back and self._is_ready(self.child):
            self._is_back = True
            self._tell(f"pid {self.child.pid} is back")

    def _notice_end(self, exit_code: int, now: float) -> None:
        self.child.clear()  # what it started must not work on beside its successor
        self._wait(now, f"pid {self.child.pid} {describe_end(exit_code)}")

    def _restart(self, now: float) -> None:
        self._started = now
        try:
            self.child = self._start()
        except OSError as error:
            self._wait(now, f"cannot be started: {error}")
        else:
            self._due, self._is_back = None, False

    def _wait(self, now: float, what: str) -> None:
        self._delay = next_delay(self._delay, ran=now - self._started)
        self._due = now + self._delay
        self._tell(f"{what}; it starts again in {self._delay:g} s (log: {self.child.log})")

    def _tell(self, what: str) -> None:
        self._say(f"{time.strftime('%H:%M:%S')} {self.child.name} {what}")
