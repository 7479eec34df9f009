"""Child processes that write to a log file, end when they are told to, and never outlive this process on Linux."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from inferq.local.listing import members_of
from inferq.local.restarts import describe_end
from inferq_core.errors import InferqError

# prctl(2): the signal a process gets when the thread that started it dies.
PR_SET_PDEATHSIG = 1
# Seconds between two looks at a condition.
LOOK_SECONDS = 0.02
# Seconds that members of a group have to go after SIGKILL.
KILL_SECONDS = 5.0
TAIL_LINES = 15


class StartFailed(InferqError):
    """A process that this machine needs did not come up; the message ends with the tail of its log."""


class ChildProcess:
    """One process of ours, in a process group of its own, so that Ctrl-C in a terminal reaches only us.

    Start it from the main thread: on Linux it is killed when the thread that started it ends.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        inherit: Sequence[int] = (),
    ) -> None:
        """`inherit` are file descriptors that stay open in it and in what it forks."""
        self.name = name
        self.log = log
        self._is_cleared = False
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # the commands are ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
                pass_fds=inherit,
                preexec_fn=_die_with(os.getpid()) if sys.platform == "linux" else None,  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait_ready(self, is_ready: Callable[[], bool], *, timeout: float) -> None:
        """Return when `is_ready()`. Raises StartFailed when the process ends before, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not is_ready():
            self.require_running()
            if time.monotonic() > deadline:
                raise StartFailed(f"the {self.name} is not ready after {timeout:g} s.{self._evidence()}")
            time.sleep(LOOK_SECONDS)

    def require_running(self) -> None:
        """Raises StartFailed, with the end of its log, when it has ended."""
        if self.exit_code is not None:
            raise StartFailed(f"the {self.name} {describe_end(self.exit_code)} while starting.{self._evidence()}")

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def stop(self, *, grace: float) -> bool:
        """SIGTERM, then after `grace` seconds SIGKILL to the whole group. True when it ended by itself in time."""
        in_time = True
        self.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            in_time = False
        self.clear()
        return in_time

    def kill(self) -> None:
        """SIGKILL to it and to what it started, without waiting: safe in a signal handler."""
        if not self._is_cleared:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def clear(self) -> None:
        """Kill what is left of its group and wait until nothing is: its session is its group, led by its pid.

        Once only, because another process may have the pid later.
        """
        if self._is_cleared:
            return
        self.kill()
        self._is_cleared = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_SECONDS)
        deadline = time.monotonic() + KILL_SECONDS
        while members_of(self.pid) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines that this process wrote."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _evidence(self) -> str:
        tail = self.tail()
        return f" {self.log} ends with:\n{tail}" if tail else f" {self.log} is empty"


def _die_with(parent: int) -> Callable[[], None]:
    """Run between fork and exec: ask the kernel for SIGKILL when the parent dies, unless it is dead already.

    Not SIGTERM: a worker would finish its batches first, without its broker and long after a new system has started.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return arrange
