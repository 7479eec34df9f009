"""Running the gateway as a process: where it listens, and how it stops."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import closing

import uvicorn
from fastapi import FastAPI

from inferq.gateway.app import create_app
from inferq.gateway.protocol import Protocol
from inferq_core import tracing
from inferq_core.errors import SettingsError
from inferq_core.logging import configure_logging
from inferq_core.settings import Settings
from inferq_core.store import open_store

# Connections that the system keeps until they are accepted.
BACKLOG = 2048
# Seconds that requests have to end once the process was told to stop; those that wait are answered at once.
GRACE = 30


class Server(uvicorn.Server):
    """Lets those that wait have their answer before it waits for the requests to end."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(configured(app))
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.services.stop()
        await super().shutdown(sockets)


def serve(settings: Settings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises SettingsError when it cannot, or must not, listen there, and StoreError before it takes a request.
    """
    place = _resolved(host, port)
    keyless = _is_loopback(place)
    with closing(open_store(settings)) as store:
        if not keyless and not any(key.revoked_at is None for key in store.all_keys()):
            raise SettingsError(
                f"{host!r} is reached from other machines, and there is no key yet: make one first (inferq keys create "
                "NAME), or listen on the loopback only (--host 127.0.0.1)"
            )
        store.now()
        with _listening(host, place) as listener:
            configure_logging(settings.log_level)
            tracing.start("inferq-gateway")
            app = create_app(settings, store, keyless=keyless)
            # What no line shows need not be found out (Python's logging HOWTO, "Optimization").
            logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
            say(f"listening on {_url(listener)}/v1; {_url(listener)}/openapi.json describes it")
            # Uvicorn raises the signal that ended it once more, after the server is down: there is nothing left to end.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: None)
            try:
                Server(app).run([listener])
            finally:
                tracing.stop()


def configured(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE,
    )


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The first address of `host`. Raises SettingsError."""
    if not host:
        raise SettingsError("'' would be every address: give one with --host")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{host!r} is no address of this machine ({error}): give another --host") from None
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


def _is_loopback(place: tuple[socket.AddressFamily, tuple[str, int]]) -> bool:
    return ipaddress.ip_address(place[1][0].partition("%")[0]).is_loopback


def _listening(host: str, place: tuple[socket.AddressFamily, tuple[str, int]]) -> socket.socket:
    family, address = place
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host} port {address[1]}: {error.strerror}. Give another --port, or 0 for any"
        ) from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
