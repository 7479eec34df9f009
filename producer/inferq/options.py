"""What a caller may ask for besides the rows, checked before anything is stored."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, NamedTuple, TypedDict, TypeVar

import orjson

from inferq_core.errors import InvalidInput
from inferq_core.messages import TRACEPARENT
from inferq_core.receivers import EVERYWHERE, parse_receiver
from inferq_core.states import ENDS, Method, Priority, State
from inferq_core.store.records import RETRY_PREFIX, Subscription

# Characters of a key, and bytes of metadata: more belongs into the application's own tables.
MAX_KEY = 200
MAX_METADATA = 16 * 1024

Choice = TypeVar("Choice", bound=Enum)

_METHODS = {member.value: member for member in Method}
_PRIORITIES = {member.label: member for member in Priority}


class SubmitOptions(NamedTuple):
    version: str | None
    method: Method
    priority: Priority
    deadline: float | None  # seconds from acceptance
    routing_key: str | None
    idempotency_key: str | None
    metadata: str | None  # JSON object
    traceparent: str | None
    owner: str | None
    webhook: Subscription | None


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


def check_options(
    *,
    version: int | str | None = None,
    method: Method | str = Method.PREDICT,
    priority: Priority | str = Priority.NORMAL,
    deadline: float | timedelta | None = None,
    routing_key: str | None = None,
    idempotency_key: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    traceparent: str | None = None,
    owner: str | None = None,
    webhook: str | Mapping[str, Any] | None = None,
) -> SubmitOptions:
    """The options in the store's terms. Raises InvalidInput that names the option, its value and what it takes."""
    return SubmitOptions(
        version=_version(version),
        method=_choice("method", method, _METHODS),
        priority=_choice("priority", priority, _PRIORITIES),
        deadline=_deadline(deadline),
        routing_key=_key("routing_key", routing_key),
        idempotency_key=_own_key(idempotency_key),
        metadata=_metadata(metadata),
        traceparent=_traceparent(traceparent),
        owner=_key("owner", owner),
        webhook=_webhook(webhook),
    )


def payload_digest(model: str, options: SubmitOptions, inputs: str) -> str:
    """SHA-256 (hexadecimal) over what decides the answer: model, version as asked for, method, inputs."""
    head = orjson.dumps([model, options.version, options.method.value])
    return hashlib.sha256(head + b"\n" + inputs.encode()).hexdigest()


def is_text(value: Any) -> bool:
    """Whether it is a text that every database can hold: not empty, no zero byte, no half of a surrogate pair."""
    if not isinstance(value, str) or not value or "\x00" in value:
        return False
    return value.encode(errors="replace").decode() == value


def _version(value: int | str | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not (isinstance(value, int) or is_text(value)):
        raise InvalidInput(f"version={value!r}: give a number or an alias")
    return str(value)


def _choice(name: str, value: Any, members: Mapping[str, Choice]) -> Choice:
    if isinstance(value, Enum) and value in members.values():
        return value  # type: ignore[return-value]
    if isinstance(value, str) and value in members:
        return members[value]
    raise InvalidInput(f"{name}={value!r}: give one of {', '.join(members)}")


def _deadline(value: float | timedelta | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidInput(f"deadline={value!r}: give seconds above 0, or a timedelta")
    return seconds


def _key(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not is_text(value) or len(value) > MAX_KEY:
        raise InvalidInput(f"{name}={value!r}: give a text of 1 to {MAX_KEY} characters")
    return value


def _own_key(value: str | None) -> str | None:
    key = _key("idempotency_key", value)
    if key is not None and key.startswith(RETRY_PREFIX):
        raise InvalidInput(f"idempotency_key={key!r}: keys that begin with {RETRY_PREFIX!r} are those of retried jobs")
    return key


def _traceparent(value: str | None) -> str | None:
    if value is not None and not (isinstance(value, str) and TRACEPARENT.fullmatch(value)):
        raise InvalidInput(f"traceparent={value!r}: give one of W3C Trace Context, 00-TRACE-PARENT-FLAGS in lower case")
    return value


def _metadata(value: Mapping[str, Any] | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidInput(f"metadata: give a mapping, not {type(value).__name__}")
    try:
        text = orjson.dumps(dict(value), option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"metadata cannot be written as JSON: {error}") from error
    if len(text) > MAX_METADATA:
        raise InvalidInput(f"metadata has {len(text)} bytes of JSON, at most {MAX_METADATA} are kept")
    return text.decode()


def _webhook(value: str | Mapping[str, Any] | None) -> Subscription | None:
    """Whether it may go there is decided by settings, which are not known here."""
    if value is None:
        return None
    wanted = {"url": value} if isinstance(value, str) else value
    if not isinstance(wanted, Mapping) or not {"url"} <= set(wanted) <= {"url", "states"}:
        raise InvalidInput("webhook: give a URL, or a mapping of url and states")
    place = parse_receiver(wanted["url"], EVERYWHERE).place
    return Subscription(wanted["url"], place, check_ends(wanted.get("states")))


def check_ends(states: Collection[State | str] | None) -> tuple[State, ...] | None:
    """The states in which a job may end that somebody wants to be told of; None for all. Raises InvalidInput."""
    if states is None:
        return None
    if isinstance(states, str) or not states or not set(states) <= set(ENDS):
        raise InvalidInput(f"webhook.states={states!r}: give some of {', '.join(ENDS)}")
    return tuple(state for state in ENDS if state in states)
