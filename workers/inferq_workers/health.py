"""`python -m inferq_workers.health`: whether the role that this container runs does its work; 0 yes, 1 no.

The container is taken for one host that runs one role. What counts is what the role does in the store, seen by the
store's clock, and that the broker answers: a process that hangs is not healthy, and one that waits for a broker is not
either. No question is sent to the process itself: it would cost a start of Celery, and each answer leaves a queue.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from inferq_core.broker import Publisher
from inferq_core.errors import InferqError
from inferq_core.settings import Settings, load_settings
from inferq_core.store import open_store

# Seconds. A heartbeat is written every 2 s; a busy machine may be late several times.
BEAT_WITHIN = 20.0
# Flower answers from memory, the gateway after a question to the store.
HTTP_TIMEOUT = 5.0
# The first process of the container, whose command line names the role.
FIRST_PROCESS = Path("/proc/1/cmdline")


def worker(settings: Settings) -> None:
    """Raise InferqError unless a pool process of this host wrote a heartbeat lately, and the broker answers."""
    host = socket.gethostname()
    with contextlib.closing(open_store(settings)) as store:
        if not any(beat.host == host for beat in store.workers(seen_within=BEAT_WITHIN)):
            raise InferqError(f"no heartbeat of a worker on {host} within {BEAT_WITHIN:g} s")
    _ask_broker(settings)


def keeper(settings: Settings) -> None:
    """Raise InferqError unless a keeper (this one, or the one it stands by for) sweeps, and the broker answers."""
    with contextlib.closing(open_store(settings)) as store:
        if store.elected("keeper") is None:
            raise InferqError("no keeper holds the lease: none has swept lately")
    _ask_broker(settings)


def deliverer(settings: Settings) -> None:
    """Raise InferqError unless a deliverer (this one, or another) looks into the outbox, and the broker answers."""
    with contextlib.closing(open_store(settings)) as store:
        if store.elected("deliverer") is None:
            raise InferqError("no deliverer holds the lease: none has looked into the outbox lately")
    _ask_broker(settings)


def flower(settings: Settings) -> None:
    """Raise InferqError unless Flower answers at its port; being asked for a password is an answer."""
    _ask_http("Flower", settings.flower_port, "/healthcheck")


def gateway(settings: Settings) -> None:
    """Raise InferqError unless the gateway answers at its port that it can take work."""
    _ask_http("the gateway", settings.gateway_port, "/v1/health/ready")


CHECKS: Mapping[str, Callable[[Settings], None]] = {
    "worker": worker,
    "keeper": keeper,
    "deliverer": deliverer,
    "flower": flower,
    "gateway": gateway,
}


def role_of(command_line: bytes) -> str | None:
    """The role that a command line, whose words end with zero bytes, runs; None when it is something else."""
    words = [word.decode(errors="replace") for word in command_line.split(b"\0")]
    return next((word for word in words if word in CHECKS), None)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m inferq_workers.health")
    parser.add_argument("role", nargs="?", choices=list(CHECKS), help="default: what process 1 runs")
    role = parser.parse_args().role or role_of(FIRST_PROCESS.read_bytes())
    if role is None:
        return 0  # something short, such as `inferq submit`: it tells by its exit code
    try:
        CHECKS[role](load_settings())
    except InferqError as error:
        sys.stderr.write(f"inferq: {role}: {error}\n")
        return 1
    return 0


def _ask_http(name: str, port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HTTP_TIMEOUT)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise InferqError(f"{name} does not answer at port {port} ({error})") from error
    finally:
        connection.close()
    if status >= http.client.INTERNAL_SERVER_ERROR:
        raise InferqError(f"{name} answers with {status}")


def _ask_broker(settings: Settings) -> None:
    with contextlib.closing(Publisher(settings.broker)) as publisher:
        publisher.ping()


if __name__ == "__main__":
    sys.exit(main())
