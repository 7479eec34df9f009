"""Spans of OpenTelemetry: from the request to the write of its result (extra `otel`, docs/operations.md).

Off unless a process called `start` and an endpoint is set in OpenTelemetry's own variables. They are read here and by
its SDK: every program that speaks it is set up by them. While it is off nothing of it is imported, and `span` looks at
one name. Like OpenTelemetry itself it is one for each process: spans find their parent in the context.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from importlib.util import find_spec
from typing import Any

from inferq_core.logging import get_logger

log = get_logger(__name__)

# https://opentelemetry.io/docs/specs/otel/protocol/exporter/
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# Seconds that the end of a process waits for its last spans to be sent.
FLUSH_SECONDS = 2.0
# Callers that one span of many jobs is linked to, which is what the SDK keeps by default.
MAX_LINKS = 128

_NOTHING: AbstractContextManager[Any] = nullcontext()
_spans: Any = None  # inferq_core.spans.Spans, while it is on


class Kind(Enum):
    """Named as OpenTelemetry's."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


def start(service: str) -> None:
    """Make spans in this process from now on, if it is set up to. After a fork: its thread would not survive one."""
    global _spans  # noqa: PLW0603 - see above
    if _spans is not None or not _is_configured():
        return
    if find_spec("opentelemetry.sdk") is None or find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        log.warning("otel_missing", consequence="no spans are made", remedy="pip install 'inferq[otel]'")
        return
    from inferq_core.spans import Spans  # noqa: PLC0415 - an extra

    _spans = Spans(service)


def stop() -> None:
    """Send what is left, for at most FLUSH_SECONDS, and make no more spans."""
    global _spans
    spans, _spans = _spans, None
    if spans is not None:
        flush = threading.Thread(target=spans.close, daemon=True, name="inferq-otel-flush")
        flush.start()
        flush.join(FLUSH_SECONDS)


def is_on() -> bool:
    return _spans is not None


def span(
    name: str,
    traceparents: Iterable[str | None] | None = None,
    *,
    kind: Kind = Kind.INTERNAL,
    began: float | None = None,
    **attributes: str | int,
) -> AbstractContextManager[Any]:
    """A span around a block, child of the one around it; its value is OpenTelemetry's span, None while tracing is off.

    With `traceparents` it belongs to those callers instead: child of the only one, or linked to each of several.
    `began`: when it did, if that was earlier, in seconds since 1970. The names of `attributes` get `inferq.` in front.
    """
    if _spans is None:
        return _NOTHING
    callers = None if traceparents is None else dict.fromkeys(filter(None, traceparents))
    return _spans.span(name, callers, kind, began, attributes)  # type: ignore[no-any-return]


def clock() -> float | None:
    """Now, for `began`; None while tracing is off."""
    return None if _spans is None else time.time()


def here() -> str | None:
    """The traceparent of the span around; None when there is none."""
    return None if _spans is None else _spans.here()


def fail(span: Any) -> None:
    """Mark a span of `span` as failed."""
    if _spans is not None:
        _spans.fail(span)


def _is_configured() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(os.environ.get(name) for name in _ENDPOINTS)
