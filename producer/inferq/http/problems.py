"""What went wrong, as the exceptions that every client raises: read from RFC 9457 problems, by their type."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inferq_core.errors import (
    BacklogFull,
    GatewayError,
    GatewayUnavailable,
    IdempotencyConflict,
    InferqError,
    InvalidInput,
    JobUnfinished,
    KeyRefused,
    UnknownJob,
    UnknownModel,
    UnknownVersion,
)

TYPE_PREFIX = "urn:inferq:problem:"
# Characters that are shown of an answer that is no problem.
SHOWN = 200


@dataclass(frozen=True)
class Answer:
    """What the gateway, or something before it, answered. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def document(self) -> Any:
        """The JSON inside. Raises GatewayError when there is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise GatewayError(f"{self._shown}: is this the address of a gateway?", status=self.status) from None

    @cached_property
    def problem(self) -> Mapping[str, Any]:
        """The members of the problem; none of them when it is of another make, a proxy's page say."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def slug(self) -> str | None:
        """The last part of the problem's type."""
        kind = str(self.problem.get("type", ""))
        return kind.removeprefix(TYPE_PREFIX) if kind.startswith(TYPE_PREFIX) else None

    @property
    def retry_after(self) -> float | None:
        """Seconds. A date, which the gateway does not send, is passed over."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdecimal() else None

    @property
    def detail(self) -> str:
        detail = self.problem.get("detail")
        return detail if isinstance(detail, str) and self.slug is not None else self._shown

    @property
    def _shown(self) -> str:
        text = self.body[:SHOWN].decode(errors="replace").strip()
        return f"status {self.status} with {text!r}" if text else f"status {self.status} without a body"


@dataclass(frozen=True, slots=True)
class About:
    """What a request was about, for messages that the gateway cannot write. `first`: number of its first item."""

    model: str = ""
    key: str = ""
    ids: tuple[str, ...] = ()
    first: int | None = None


def error_of(answer: Answer, about: About) -> InferqError:
    """The exception for an answer that is none."""
    make = _BY_TYPE.get(answer.slug or "")
    if make is not None:
        return make(answer, about)
    request_id = answer.problem.get("request_id")
    kind = GatewayUnavailable if answer.status in (408, 429, 502, 503, 504) else GatewayError
    if answer.status in (401, 403):
        kind = KeyRefused
    return kind(answer.detail, status=answer.status, request_id=request_id if isinstance(request_id, str) else None)


def _invalid(answer: Answer, about: About) -> InvalidInput:
    fault = _fault(answer)
    place = _place(fault.get("pointer"))
    message = answer.detail
    if about.first is not None and place and isinstance(place[0], int):
        message = f"item {about.first + place[0]}: {message.removeprefix(f'item {place[0]}: ')}"
        place = (about.first + place[0], *place[1:])
    return InvalidInput(message, place=place, expected=fault.get("expected"), got=fault.get("got"))


def _conflict(_: Answer, about: About) -> IdempotencyConflict:
    return IdempotencyConflict(
        f"the idempotency key {about.key!r} stands for another payload: use a new key for a new request"
    )


def _unknown_job(answer: Answer, about: About) -> UnknownJob:
    place = next((part for part in _place(_fault(answer).get("pointer")) if isinstance(part, int)), 0)
    named = f"job {about.ids[place]}" if place < len(about.ids) else "the job"
    return UnknownJob(f"{named} was never accepted by this gateway, was deleted, or is not for this key to see")


def _unknown_model(answer: Answer, about: About) -> UnknownModel:
    return UnknownModel(f"model {about.model!r}: {answer.detail}")


def _full(answer: Answer, about: About) -> BacklogFull:
    told = answer.problem
    after, never_fits = told.get("retry_after_seconds"), told.get("never_fits") is True
    return BacklogFull(str(told.get("model", about.model)), answer.detail, after, never_fits=never_fits)


_BY_TYPE: dict[str, Callable[[Answer, About], InferqError]] = {
    "invalid-input": _invalid,
    "invalid-header": _invalid,
    "too-large": lambda answer, _: InvalidInput(answer.detail),
    "idempotency-key-reused": _conflict,
    "unknown-prediction": _unknown_job,
    "unknown-model": _unknown_model,
    "unknown-version": lambda answer, _: UnknownVersion(answer.detail),
    "unfinished": lambda answer, _: JobUnfinished(answer.detail),
    "backlog-full": _full,
}


def _fault(answer: Answer) -> Mapping[str, Any]:
    """The first field that is wrong."""
    faults = answer.problem.get("errors")
    first = faults[0] if isinstance(faults, list) and faults else None
    return first if isinstance(first, dict) else {}


def _place(pointer: Any) -> tuple[int | str, ...]:
    """The path of a JSON pointer (RFC 6901) below the member that it begins with."""
    if not isinstance(pointer, str):
        return ()
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[2:]]
    return tuple(int(part) if part.isdecimal() else part for part in parts)
