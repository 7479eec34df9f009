"""A span for each request, where OpenTelemetry is set up: child of the caller's, parent of all that comes of it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inferq.gateway.headers import one_traceparent
from inferq_core import tracing

SERVER_ERROR = 500


class Traced:
    """ASGI middleware. Names are those of OpenTelemetry's conventions for HTTP."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"]
        method = scope["method"]
        with tracing.span(method, [one_traceparent(given)], kind=tracing.Kind.SERVER) as span:
            span.set_attributes({"http.request.method": method, "url.path": scope["path"]})

            async def send_noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= SERVER_ERROR:
                        tracing.fail(span)
                await send(message)

            try:
                await self._app(scope, receive, send_noted)
            finally:
                if "endpoint" in scope:
                    span.update_name(f"{method} {_route(scope)}")
                    span.set_attribute("http.route", _route(scope))


def _route(scope: Scope) -> str:
    """The path with the names of its parameters in place of their values, of which there is no end."""
    names = {value: f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    return "/".join(names.get(part, part) for part in scope["path"].split("/"))
