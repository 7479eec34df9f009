"""What callers say in headers: how long to wait, which key, which trace, which request."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence

from starlette.requests import Request

from inferq.gateway.problems import Fault, Kind, Problem, shown
from inferq.options import MAX_KEY as MAX_STORED_KEY
from inferq_core import tracing
from inferq_core.spelling import TRACEPARENT
from inferq_core.store.records import RETRY_PREFIX

# Characters of a key: the id of the caller's own goes before it.
MAX_KEY = MAX_STORED_KEY - 20
# The same for OpenAPI.
KEY_PATTERN = rf'^(?!"?{RETRY_PREFIX})("([ !#-\[\]-~]|\\["\\])+"|[!#-~]+)$'
REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=-]{1,128}")
# RFC 7240: preferences stand between commas, and what is unknown or malformed among them is passed over.
_WAIT = re.compile(r"""\s*wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*(?:;.*)?""", re.IGNORECASE | re.ASCII | re.DOTALL)
# RFC 8941: a string in double quotes, in which \" and \\ stand for themselves.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"', re.ASCII)
_PLAIN = re.compile(r"[!#-~]+", re.ASCII)
_TAG = re.compile(r'(?:W/)?("[!#-~]*")')


def wait_of(request: Request, max_wait: float) -> int | None:
    """Seconds that the caller wants to wait (`Prefer: wait=n`), at most `max_wait`; None when it said nothing."""
    for header in request.headers.getlist("prefer"):
        for preference in header.split(","):
            found = _WAIT.fullmatch(preference)
            if found is not None:
                return min(int(found[1] or found[2]), int(max_wait))
    return None


def idempotency_key_of(request: Request) -> str | None:
    """The key of the IETF's Idempotency-Key header: a string in quotes; without them it is taken, too.

    Raises Problem for one that cannot be a key.
    """
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    text = ", ".join(given).strip()
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not (quoted or _PLAIN.fullmatch(text)) or not 0 < len(key) <= MAX_KEY or key.startswith(RETRY_PREFIX):
        expected = f"a text of 1 to {MAX_KEY} printable ASCII characters that does not begin with {RETRY_PREFIX}"
        fault = Fault(
            f"Idempotency-Key: expected {expected}", parameter="Idempotency-Key", expected=expected, got=shown(text)
        )
        raise Problem(Kind.INVALID_HEADER, fault.detail, [fault])
    return key


def traceparent_of(request: Request) -> str | None:
    """Where in a trace the request is: at the gateway's own span, or else at the caller's."""
    return tracing.here() or one_traceparent(request.headers.getlist("traceparent"))


def one_traceparent(given: Sequence[str]) -> str | None:
    """The caller's place in its trace; None when it is malformed, as W3C Trace Context asks for."""
    return given[0] if len(given) == 1 and TRACEPARENT.fullmatch(given[0]) else None


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's X-Request-ID, or a new one when there is none that can go into a log line."""
    for name, value in headers:
        if name == b"x-request-id":
            return value.decode("ascii") if REQUEST_ID.fullmatch(value) else uuid.uuid4().hex
    return uuid.uuid4().hex


def is_known(request: Request, tag: str) -> bool:
    """Whether the caller has what `tag` (a quoted entity tag without W/) names (`If-None-Match`)."""
    given = ", ".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or tag in _TAG.findall(given)
