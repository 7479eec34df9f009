"""Where Flower's pages are on this machine, and free ports for what listens."""

from __future__ import annotations

import http.client
import importlib.util
import socket

from inferq_core.settings import Settings

TIMEOUT = 2.0  # seconds


def installed() -> bool:
    return importlib.util.find_spec("flower") is not None


def with_free_port(settings: Settings, role: str = "flower") -> Settings:
    """The settings, with another port for the role when nobody asked for this one and something listens on it."""
    name = f"{role}_port"
    address, port = getattr(settings, f"{role}_address"), getattr(settings, name)
    if name in settings.model_fields_set or _is_free(address, port):
        return settings
    with _bound(address, 0) as probe:
        return settings.model_copy(update={name: probe.getsockname()[1]})


def answer(settings: Settings) -> bool:
    """Whether somebody answers at the address; without the password, as 401."""
    connection = http.client.HTTPConnection(reachable(settings.flower_address), settings.flower_port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/inferq")
        return connection.getresponse().status == http.client.UNAUTHORIZED
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reachable(address: str) -> str:
    """Where to knock for a server that listens on all addresses."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound


def _is_free(address: str, port: int) -> bool:
    try:
        _bound(address, port).close()
    except OSError:
        return False
    return True


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Flower binds
        probe.bind((address, port))
    except OSError:
        probe.close()
        raise
    return probe
