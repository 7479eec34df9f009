"""Bodies on their way in: of the right type, within their size while they are read, and JSON."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inferq.gateway.problems import Fault, Kind, Problem, of_validation

JSON = "application/json"
# Seconds that a body may take to arrive: time for 32 MiB over a slow line, and an end for whoever drips.
BODY_SECONDS = 60.0
SETTING = "INFERQ_MAX_BODY_BYTES"
# What is left of a body that is not read to its end is not waited for.
_CLOSE = {"Connection": "close"}

# Seconds for which what is left of a refused body is read and dropped: whoever still sends it gets the answer so.
LINGER_SECONDS = 5.0

Form = TypeVar("Form", bound=BaseModel)


async def read_form(request: Request, form: type[Form], max_bytes: int) -> Form:
    """The body as `form`. Raises Problem: 400, 408, 413, 415 or 422."""
    return parsed(form, await read_json(request, max_bytes))


def parsed(form: type[Form], document: Any) -> Form:
    """The document as `form`. Raises Problem: 422."""
    try:
        return form.model_validate(document)
    except ValidationError as error:
        raise of_validation(error.errors(include_url=False)) from None


async def read_json(request: Request, max_bytes: int) -> Any:
    """The body, decoded. Raises Problem: 400, 408, 413 or 415."""
    require_type(request, JSON)
    return decoded(await read_bytes(request, max_bytes))


def decoded(body: bytes) -> Any:
    """What the JSON says. Raises Problem: 400."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if body else "the body is empty"
        raise Problem(Kind.INVALID_JSON, f"{error.msg} ({where}); NaN and Infinity are not JSON, write null") from None


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """The body. Raises Problem as soon as it is known to be too large, or late."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large(max_bytes, SETTING)
    size, chunks = 0, []
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise too_large(max_bytes, SETTING)
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(
            Kind.BODY_TIMEOUT, f"{size} bytes arrived in {BODY_SECONDS:g} s, and no end of the body", headers=_CLOSE
        ) from None
    return b"".join(chunks)


def too_large(max_bytes: int, setting: str) -> Problem:
    return Problem(Kind.TOO_LARGE, f"at most {max_bytes} bytes are read ({setting}): send fewer rows", headers=_CLOSE)


def require_type(request: Request, *names: str) -> None:
    """Raises Problem unless the body is of one of these types, UTF-8 and not compressed."""
    given = request.headers.get("content-type", "")
    name, *parameters = (part.strip().lower() for part in given.split(";"))
    if name not in names or any(part.startswith("charset=") and part != "charset=utf-8" for part in parameters):
        raise _unsupported("Content-Type", " or ".join(name for name in names if name), given)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise _unsupported("Content-Encoding", "identity", encoding)


def _unsupported(header: str, expected: str, got: str) -> Problem:
    detail = f"{header}: expected {expected}, got {got[:80] or 'none'}"
    fault = Fault(detail, parameter=header, expected=expected, got=got[:80] or "none")
    return Problem(Kind.UNSUPPORTED_MEDIA_TYPE, detail, [fault], headers=_CLOSE)


class Lingering(Response):
    """A complete answer to a body that is still being sent."""

    def __init__(self, inner: Response, request: Request) -> None:
        super().__init__(inner.body, inner.status_code)
        self.raw_headers = inner.raw_headers
        self._request = request

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if not getattr(self._request.state, "is_read", False):
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    while (await receive()).get("more_body", False):
                        pass
            except TimeoutError:
                pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})
