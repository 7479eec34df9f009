"""What surrounds every request: its id, the headers that every answer has, one log line, and no fault that gets out."""

from __future__ import annotations

import time
from collections.abc import Iterable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inferq.gateway.headers import request_id_of
from inferq.gateway.problems import Kind, Problem
from inferq_core.logging import bound, get_logger

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
# Fields of the log line, and where routes leave them.
_LEARNED = (("key", "key_id"), ("prediction", "prediction_id"))


class Envelope:
    """ASGI middleware, outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = request_id_of(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        bound.set(_named(scope, request_id))  # a request has a context of its own
        status = 0

        async def send_sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = scope["state"].get("answer_headers", ())
                message["headers"] = _sealed((*message.get("headers", ()), *more), request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_sealed)
        except ClientDisconnect:
            status = GONE
        except Exception:
            log.exception("request_failed", path=scope["path"])
            if status:  # the answer has begun: the connection must break, so that nobody takes it for whole
                raise
            fault = Problem(Kind.INTERNAL, "the gateway's log says more, under this request_id")
            await fault.response(scope["path"], request_id)(scope, receive, send_sealed)
        finally:
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(time.perf_counter() - started, 6),
                **_learned(scope),
            )


def _sealed(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    sealed = [*headers, *SECURITY, (b"x-request-id", request_id.encode())]
    if not any(name == b"cache-control" for name, _ in sealed):
        sealed.append(NO_STORE)
    return sealed


def _named(scope: Scope, request_id: str) -> dict[str, str]:
    """What all log lines of the request have: its id, and the caller's trace where there is one."""
    found = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
    named = {"request_id": request_id}
    return named if found is None else named | {"traceparent": found[:80].decode("latin-1")}


def _learned(scope: Scope) -> dict[str, str]:
    """Key and prediction, where there are some."""
    state = scope["state"]
    return {field: state[name] for field, name in _LEARNED if name in state}
