"""What a caller may ask for besides the rows, checked before anything is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import orjson

from inferq.choices import (
    MAX_KEY,
    ManyOptions,
    OneOptions,
    is_text,
    key_of,
    method_of,
    priority_of,
    require_mapping,
    seconds_of,
    traceparent_of,
    version_of,
)
from inferq_core.errors import InvalidInput
from inferq_core.receivers import EVERYWHERE, parse_receiver
from inferq_core.states import ENDS, Method, Priority, State
from inferq_core.store.records import RETRY_PREFIX, Subscription

__all__ = [
    "MAX_KEY",
    "MAX_METADATA",
    "ManyOptions",
    "OneOptions",
    "SubmitOptions",
    "check_options",
    "is_text",
    "payload_digest",
]

# Bytes of metadata: more belongs into the application's own tables.
MAX_METADATA = 16 * 1024


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
        version=version_of(version),
        method=method_of(method),
        priority=priority_of(priority),
        deadline=seconds_of(deadline),
        routing_key=key_of("routing_key", routing_key),
        idempotency_key=_own_key(idempotency_key),
        metadata=_metadata(metadata),
        traceparent=traceparent_of(traceparent),
        owner=key_of("owner", owner),
        webhook=_webhook(webhook),
    )


def payload_digest(model: str, options: SubmitOptions, inputs: str) -> str:
    """SHA-256 (hexadecimal) over what decides the answer: model, version as asked for, method, inputs."""
    head = orjson.dumps([model, options.version, options.method.value])
    return hashlib.sha256(head + b"\n" + inputs.encode()).hexdigest()


def _own_key(value: str | None) -> str | None:
    key = key_of("idempotency_key", value)
    if key is not None and key.startswith(RETRY_PREFIX):
        raise InvalidInput(f"idempotency_key={key!r}: keys that begin with {RETRY_PREFIX!r} are those of retried jobs")
    return key


def _metadata(value: Mapping[str, Any] | None) -> str | None:
    if value is None:
        return None
    require_mapping(value)
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
