"""HTTP on the wire: uvicorn's protocol, with bounds on headers and the time they take, and problems as answers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from inferq.gateway.problems import Fault, Kind, Problem

# Bytes of the request line and all headers together: what others take, too (nginx: 32 KiB, h11: 64).
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 100
# Seconds from the first byte of a request, or from connecting, to the end of its headers.
HEADER_SECONDS = 20.0


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._refusal: Problem | None = None
        self._header_bytes = 0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_are_there()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._expect_headers()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._headers_are_there()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        if self._refusal is None:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Whatever the parser stopped at: refused headers, or what is not HTTP."""
        problem = self._refusal or Problem(Kind.INVALID_HEADER, f"this is not an HTTP/1.1 request: {msg}")
        self._refusal = problem
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # another answer is under way, and nothing may come into it
            return
        body = problem.body(None)
        head = (
            STATUS_LINE[problem.kind.status],
            b"content-type: application/problem+json\r\n",
            b"content-length: %d\r\n" % len(body),
            b"connection: close\r\n\r\n",
        )
        self.transport.write(b"".join((*head, body)))
        self.transport.close()

    def _count(self, size: int) -> None:
        """Raises, which stops the parser."""
        self._header_bytes += size
        headers = len(self.headers)
        if self._header_bytes <= MAX_HEADER_BYTES and headers <= MAX_HEADERS:
            return
        expected = f"at most {MAX_HEADER_BYTES} bytes in {MAX_HEADERS} headers"
        got = f"{self._header_bytes} bytes in {headers} headers, and more to come"
        fault = Fault(f"headers: expected {expected}, got {got}", expected=expected, got=got)
        self._refusal = Problem(Kind.HEADERS_TOO_LARGE, fault.detail, [fault])
        raise self._refusal

    def _expect_headers(self) -> None:
        self._headers_are_there()
        self._late = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def _headers_are_there(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self._refusal = Problem(Kind.BODY_TIMEOUT, f"the headers did not arrive within {HEADER_SECONDS:g} s")
            self.send_400_response("too late")
