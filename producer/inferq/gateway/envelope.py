"""What surrounds every request: its id, the headers that every answer has, one log line, and no fault that gets out."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable
from functools import lru_cache

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inferq.gateway.headers import request_id_of
from inferq.gateway.problems import Fault, Kind, Problem
from inferq_core.logging import get_logger

log = get_logger(__name__)

# For a program that answers programs: nothing of it belongs into a page, a frame or a cache.
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
NO_STORE = (b"cache-control", b"no-store")
# What log lines show of a request whose caller went away before the answer.
GONE = 499


class Envelope:
    """ASGI middleware, outermost. With `local_only`, requests whose Host is not this machine are refused.

    That is for a gateway without keys: a page whose name was made to resolve to 127.0.0.1 (DNS rebinding) could
    otherwise ask it anything.
    """

    def __init__(self, app: ASGIApp, *, local_only: bool) -> None:
        self._app = app
        self._local_only = local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = request_id_of(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _sealed(message.get("headers", ()), request_id)
            await send(message)

        try:
            if self._local_only:
                _require_local(scope)
            await self._app(scope, receive, send_sealed)
        except Problem as problem:
            await problem.response(request_id)(scope, receive, send_sealed)
        except ClientDisconnect:
            status = GONE
        except Exception:
            log.exception("request_failed", request_id=request_id, path=scope["path"])
            if status:  # the answer has begun: the connection must break, so that nobody takes it for whole
                raise
            fault = Problem(Kind.INTERNAL, "the gateway's log says more, under this request_id")
            await fault.response(request_id)(scope, receive, send_sealed)
        finally:
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(time.perf_counter() - started, 6),
                request_id=request_id,
                **_trace(scope["headers"]),
            )


def _sealed(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    sealed = [*headers, *SECURITY, (b"x-request-id", request_id.encode())]
    if not any(name == b"cache-control" for name, _ in sealed):
        sealed.append(NO_STORE)
    return sealed


def _trace(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found = next((value for name, value in headers if name == b"traceparent"), None)
    return {} if found is None else {"traceparent": found[:80].decode("latin-1")}


def _require_local(scope: Scope) -> None:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    if not is_local(host):
        expected = "localhost or an address of this machine's loopback"
        detail = f"Host: expected {expected} (the gateway runs without keys), got {host[:80]!r}"
        fault = Fault(detail, parameter="Host", expected=expected, got=host[:80])
        raise Problem(Kind.WRONG_HOST, detail, [fault])


@lru_cache(maxsize=64)
def is_local(host: str) -> bool:
    """Whether a Host header names this machine itself."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
