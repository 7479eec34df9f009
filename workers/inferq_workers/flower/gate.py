"""The gate: no route of Flower answers without the password.

Flower asks for it in each handler, and leaves `/metrics`, `/healthcheck` and the static files open. Here it is asked
for before a handler is even chosen, so a route that a later version adds is behind it too.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from typing import Any

from flower.app import Flower
from pydantic import SecretStr
from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler, stream_request_body


@stream_request_body
class Refused(RequestHandler):
    """401 to any method, before the body is read: nobody unknown fills our memory."""

    def check_xsrf_cookie(self) -> None:
        """Refuse for the missing password, not for a missing cookie."""

    def prepare(self) -> None:
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="inferq", charset="UTF-8"')
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish("Sign in with INFERQ_FLOWER_AUTH, or with the password in flower/auth under INFERQ_HOME\n")

    def data_received(self, chunk: bytes) -> None:
        """Drop it."""


class GatedFlower(Flower):
    """Flower behind HTTP basic authentication (RFC 7617)."""

    def __init__(self, credentials: SecretStr, **arguments: Any) -> None:
        self._expected = credentials.get_secret_value().encode()
        super().__init__(**arguments)

    def find_handler(self, request: HTTPServerRequest, **arguments: Any) -> Any:
        if not self._admits(request.headers.get("Authorization", "")):
            return self.get_handler_delegate(request, Refused)
        return super().find_handler(request, **arguments)

    def _admits(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = b64decode(encoded.strip(), validate=True)
        except ValueError:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self._expected)
