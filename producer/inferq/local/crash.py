"""Killing one pool process in the middle of work, to show that nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from inferq.local.listing import children_of

# Seconds between two looks at how far the work is.
LOOK_SECONDS = 0.002


class HalfWayCrash:
    """Waits in a thread until work is half done and in flight, then ends one busy pool process with SIGKILL.

    `is_due()` says whether half is done and some job is running; the crash happens at the first such moment at which
    a pool process is on a core.
    """

    def __init__(self, worker: int, is_due: Callable[[], bool]) -> None:
        self._worker = worker
        self._is_due = is_due
        self._giving_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inferq-crash", daemon=True)
        self.killed: int | None = None
        self._thread.start()

    def finish(self) -> int | None:
        """Stop waiting for the moment; the pid that was killed, None when it never came."""
        self._giving_up.set()
        self._thread.join()
        return self.killed

    def _run(self) -> None:
        while not self._giving_up.is_set():
            if self._is_due():
                busy = [process for process in children_of(self._worker) if process.busy]
                if busy:
                    os.kill(busy[0].pid, signal.SIGKILL)
                    self.killed = busy[0].pid
                    return
            time.sleep(LOOK_SECONDS)
