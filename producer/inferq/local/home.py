"""The lock of a home folder: one `inferq up` or `inferq demo`, one embedded broker at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from inferq_core.errors import AlreadyRunning

FILE = "home.lock"
# Seconds that the processes of a killed holder have to go; on Linux the kernel ends them at once.
LEFTOVER_SECONDS = 10.0
LOOK_SECONDS = 0.05


class HomeLock:
    """Held until `release()`, and as long as a process lives that inherited `descriptor`.

    So a home whose `inferq up` was killed is free again when the last of its processes is gone, and not before: two
    brokers never write one file.
    """

    def __init__(self, home: Path) -> None:
        """Raises AlreadyRunning that names the holder's pid."""
        self._home = home
        self._file = (home / FILE).open("a+")
        try:
            self._acquire()
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    @property
    def descriptor(self) -> int:
        """For the processes that must be gone before the home is free."""
        return self._file.fileno()

    def release(self) -> None:
        if not self._file.closed:
            self._file.truncate(0)
            self._file.close()

    def _acquire(self) -> None:
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while not self._try():
            self._file.seek(0)
            holder = self._file.read().strip()
            if holder.isdigit() and _lives(int(holder)):
                raise AlreadyRunning(
                    f"inferq runs on INFERQ_HOME={self._home} already (pid {holder}): "
                    "stop it, or set another INFERQ_HOME"
                )
            if time.monotonic() > deadline:
                raise AlreadyRunning(
                    f"an inferq that was killed left processes behind on INFERQ_HOME={self._home}: "
                    f"end those that `fuser {self._home / FILE}` shows, or set another INFERQ_HOME"
                )
            time.sleep(LOOK_SECONDS)

    def _try(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
