"""Options as callers write them, checked one by one. Nothing but the standard library: the HTTP client has no more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, TypedDict, TypeVar

from inferq_core.errors import InvalidInput
from inferq_core.spelling import TRACEPARENT
from inferq_core.states import Method, Priority

# Characters of a key: more belongs into the application's own tables.
MAX_KEY = 200

Choice = TypeVar("Choice", bound=Enum)

_METHODS = {member.value: member for member in Method}
_PRIORITIES = {member.label: member for member in Priority}


class ManyOptions(TypedDict, total=False):
    """The options that make sense for many jobs at once, as in `Client.submit`."""

    version: int | str | None
    method: Method | str
    priority: Priority | str
    deadline: float | timedelta | None
    metadata: Mapping[str, Any] | None
    traceparent: str | None


class OneOptions(ManyOptions, total=False):
    """The options of `Client.submit`."""

    routing_key: str | None
    idempotency_key: str | None
    owner: str | None
    webhook: str | Mapping[str, Any] | None


def is_text(value: Any) -> bool:
    """Whether it is a text that every database can hold: not empty, no zero byte, no half of a surrogate pair."""
    if not isinstance(value, str) or not value or "\x00" in value:
        return False
    return value.encode(errors="replace").decode() == value


def version_of(value: int | str | None) -> str | None:
    """Raises InvalidInput, like all here."""
    if value is None:
        return None
    if isinstance(value, bool) or not (isinstance(value, int) or is_text(value)):
        raise InvalidInput(f"version={value!r}: give a number or an alias")
    return str(value)


def method_of(value: Method | str) -> Method:
    return _choice("method", value, _METHODS)


def priority_of(value: Priority | str) -> Priority:
    return _choice("priority", value, _PRIORITIES)


def seconds_of(deadline: float | timedelta | None) -> float | None:
    if deadline is None:
        return None
    try:
        seconds = deadline.total_seconds() if isinstance(deadline, timedelta) else float(deadline)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidInput(f"deadline={deadline!r}: give seconds above 0, or a timedelta")
    return seconds


def key_of(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not is_text(value) or len(value) > MAX_KEY:
        raise InvalidInput(f"{name}={value!r}: give a text of 1 to {MAX_KEY} characters")
    return value


def traceparent_of(value: str | None) -> str | None:
    if value is not None and not (isinstance(value, str) and TRACEPARENT.fullmatch(value)):
        raise InvalidInput(f"traceparent={value!r}: give one of W3C Trace Context, 00-TRACE-PARENT-FLAGS in lower case")
    return value


def require_mapping(metadata: Any) -> None:
    if not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata: give a mapping, not {type(metadata).__name__}")


def _choice(name: str, value: Any, members: Mapping[str, Choice]) -> Choice:
    if isinstance(value, Enum) and value in members.values():
        return value  # type: ignore[return-value]
    if isinstance(value, str) and value in members:
        return members[value]
    raise InvalidInput(f"{name}={value!r}: give one of {', '.join(members)}")
