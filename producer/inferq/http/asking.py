"""Options as the gateway takes them: fields of the body, and headers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, Unpack

from inferq.choices import (
    ManyOptions,
    is_text,
    key_of,
    method_of,
    priority_of,
    require_mapping,
    seconds_of,
    traceparent_of,
    version_of,
)
from inferq.http.rows import encode_value
from inferq_core.errors import InvalidInput
from inferq_core.states import Method, Priority

# RFC 8941: what a string in a header can hold.
_PRINTABLE = re.compile(r"[ -~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asking:
    """A model, and how its rows are to be treated. `fields` are JSON texts by name; `key` is that of its header."""

    model: str
    version: str | None
    fields: Mapping[str, bytes]
    headers: Mapping[str, str]
    key: str

    @classmethod
    def one(
        cls,
        model: str,
        *,
        routing_key: str | None = None,
        idempotency_key: str | None = None,
        owner: str | None = None,
        webhook: str | Mapping[str, Any] | None = None,
        **options: Unpack[ManyOptions],
    ) -> Self:
        """For `submit`. Raises InvalidInput."""
        if owner is not None:
            raise InvalidInput("owner: over HTTP a job belongs to the key that submits it, leave it out")
        given: ManyOptions = {"priority": Priority.NORMAL, **options}
        asking = cls.many(model, **given)
        key = asking.key if idempotency_key is None else _sendable(key_of("idempotency_key", idempotency_key))
        headers = {**asking.headers, "Idempotency-Key": _quoted(key)}
        routing = key_of("routing_key", routing_key)
        fields = {} if routing is None else {"routing_key": encode_value(routing, "routing_key")}
        if webhook is not None:
            fields["webhook"] = encode_value({"url": webhook} if isinstance(webhook, str) else webhook, "webhook")
        return cls(asking.model, asking.version, {**asking.fields, **fields}, headers, key)

    @classmethod
    def many(
        cls,
        model: str,
        *,
        version: int | str | None = None,
        method: Method | str = Method.PREDICT,
        priority: Priority | str = Priority.BULK,
        deadline: float | timedelta | None = None,
        metadata: Mapping[str, Any] | None = None,
        traceparent: str | None = None,
    ) -> Self:
        """For one request of many jobs; each call has a key of its own. Raises InvalidInput."""
        if not is_text(model):
            raise InvalidInput(f"model={model!r}: give the name of a model")
        reference = version_of(version)
        if metadata is not None:
            require_mapping(metadata)
        given = {
            "version": int(reference) if reference is not None and reference.isdecimal() else reference,
            "method": method_of(method).value,
            "priority": priority_of(priority).label,
            "deadline_seconds": seconds_of(deadline),
            "metadata": metadata,
        }
        fields = {name: encode_value(value, name) for name, value in given.items() if value is not None}
        # The request may be sent twice, and must not count twice.
        key = secrets.token_urlsafe(18)
        trace = traceparent_of(traceparent)
        headers = {"Idempotency-Key": _quoted(key)} | ({} if trace is None else {"traceparent": trace})
        return cls(model, reference, fields, headers, key)

    def body(self, name: str, rows: bytes) -> bytes:
        parts = [b'"%s":%s' % (field.encode(), text) for field, text in {name: rows, **self.fields}.items()]
        return b"{" + b",".join(parts) + b"}"


def _sendable(key: str | None) -> str:
    if key is None or not _PRINTABLE.fullmatch(key):
        raise InvalidInput(f"idempotency_key={key!r}: over HTTP a key is of printable ASCII characters")
    return key


def _quoted(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
