"""What goes wrong, as RFC 9457 says it: `application/problem+json` with a `type` that stays the same for ever."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson
from pydantic_core import ErrorDetails
from starlette.responses import Response

from inferq_core.errors import (
    BacklogFull,
    BrokerUnavailable,
    IdempotencyConflict,
    InferqError,
    InvalidInput,
    JobUnfinished,
    RegistrationRefused,
    StoreError,
    UnknownDelivery,
    UnknownJob,
    UnknownModel,
    UnknownRollout,
    UnknownUpload,
    UnknownVersion,
    UnknownWebhook,
    UploadEnded,
)
from inferq_core.logging import get_logger

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
# In front of the names below. A name that resolves nowhere is what RFC 9457 (3.1.1) allows, and it never moves.
TYPE_PREFIX = "urn:inferq:problem:"
# Seconds after which it is worth asking again when the store or the broker was away.
RETRY_UNAVAILABLE = 5
# Characters of a foreign value that are shown.
SHOWN = 80
# What pydantic's errors say, in JSON's words.
_EXPECTED = {
    "missing": "a value",
    "extra_forbidden": "no such field",
    "model_type": "an object",
    "dict_type": "an object",
    "list_type": "an array",
    "string_type": "a text",
    "float_type": "a number",
    "int_parsing": "a whole number",
    "too_short": "an array of at least {min_length}",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
}
# Faults that one answer names.
MAX_FAULTS = 20


class Kind(Enum):
    """The problems that exist: name in the `type`, status, title."""

    INVALID_JSON = ("invalid-json", 400, "The body is not JSON")
    INVALID_HEADER = ("invalid-header", 400, "A header has a value that it cannot have")
    UNAUTHORIZED = ("unauthorized", 401, "A key is needed")
    FORBIDDEN = ("forbidden", 403, "The key may not do this")
    NOT_FOUND = ("not-found", 404, "There is nothing at this path")
    UNKNOWN_PREDICTION = ("unknown-prediction", 404, "There is no such prediction")
    UNKNOWN_MODEL = ("unknown-model", 404, "There is no such model")
    UNKNOWN_BATCH = ("unknown-batch", 404, "There is no such batch")
    UNKNOWN_VERSION = ("unknown-version", 404, "The model has no such version")
    UNKNOWN_ROLLOUT = ("unknown-rollout", 404, "The model has no rollout")
    UNKNOWN_WEBHOOK = ("unknown-webhook", 404, "There is no such webhook")
    UNKNOWN_DELIVERY = ("unknown-delivery", 404, "There is no such delivery")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "This path does not know the method")
    BODY_TIMEOUT = ("body-timeout", 408, "The body did not arrive in time")
    UNFINISHED = ("unfinished", 409, "The prediction has not ended")
    BATCH_ENDED = ("batch-ended", 409, "The batch takes no more rows")
    TOO_LARGE = ("too-large", 413, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "The body is of another type than is read here")
    WRONG_HOST = ("wrong-host", 421, "The request is for another host")
    INVALID_INPUT = ("invalid-input", 422, "The request does not fit")
    KEY_REUSED = ("idempotency-key-reused", 422, "The Idempotency-Key was used for another request")
    RATE_LIMITED = ("rate-limited", 429, "The key sends too many requests")
    BACKLOG_FULL = ("backlog-full", 429, "The model takes no more now")
    HEADERS_TOO_LARGE = ("headers-too-large", 431, "The headers are too large")
    INTERNAL = ("internal-error", 500, "The gateway has a fault")
    NOT_IN_TIME = ("not-in-time", 504, "The answer did not come in time")
    UNAVAILABLE = ("unavailable", 503, "A part that is needed does not answer")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title

    @property
    def uri(self) -> str:
        return TYPE_PREFIX + self.slug


@dataclass(frozen=True, slots=True)
class Fault:
    """One field that is wrong: `pointer` (RFC 6901, into the body), or `parameter` (query, path, header).

    In a body of many rows: `line` (from 1) or `row` (from 0), and `column`.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    line: int | None = None
    row: int | None = None
    column: str | None = None
    expected: str | None = None
    got: str | None = None

    def fields(self) -> dict[str, str | int]:
        names = ("detail", "pointer", "parameter", "line", "row", "column", "expected", "got")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(eq=False)
class Problem(Exception):
    """Raise it anywhere in a request: it becomes the answer."""

    kind: Kind
    detail: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def body(self, request_id: str | None) -> bytes:
        members: dict[str, Any] = {
            "type": self.kind.uri,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if request_id is not None:
            members["request_id"] = request_id
        if self.faults:
            members["errors"] = [fault.fields() for fault in self.faults]
        return orjson.dumps(members | dict(self.extra))

    def response(self, path: str, request_id: str) -> Response:
        """The answer at `path`: under /v2 in the form of the Open Inference Protocol."""
        headers = dict(self.headers)
        if path == "/v2" or path.startswith("/v2/"):
            text = orjson.dumps({"error": f"{self.kind.title}: {self.detail}"})
            return Response(text, self.kind.status, headers, "application/json")
        return Response(self.body(request_id), self.kind.status, headers, MEDIA_TYPE)


def pointer(*path: int | str) -> str:
    """The JSON pointer (RFC 6901) of a path in the body."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def shown(value: Any) -> str:
    """A foreign value, short: never all that somebody sent."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if not isinstance(value, str | int | float):
        return {"list": "an array", "dict": "an object"}.get(type(value).__name__, type(value).__name__)
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        return "a number"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def of_validation(errors: Sequence[ErrorDetails | Mapping[str, Any]]) -> Problem:
    """What pydantic found in a body (`loc` from the top of it), or FastAPI in query, path and headers."""
    faults = [_fault(error) for error in errors[:MAX_FAULTS]]
    return Problem(Kind.INVALID_INPUT, "; ".join(fault.detail for fault in faults[:3]), faults)


def misfit(expected: str, got: Any, *path: int | str) -> Problem:
    """A value of the body that is not what it takes there."""
    detail = f"{' '.join(map(str, path))}: expected {expected}, got {shown(got)}"
    return Problem(
        Kind.INVALID_INPUT, detail, [Fault(detail, pointer=pointer(*path), expected=expected, got=shown(got))]
    )


def of_error(error: InferqError) -> Problem:
    """The answer to what the client raised. What only operators should read is logged instead."""
    return next(of_kind(error) for kind, of_kind in _BY_ERROR if isinstance(error, kind))


def of_invalid(error: InvalidInput, field: str = "inputs") -> Problem:
    """`field` is where the body has the rows."""
    faults = []
    if error.expected is not None or error.place:
        where = pointer(field, *error.place)
        faults.append(Fault(str(error), pointer=where, expected=error.expected, got=error.got))
    return Problem(Kind.INVALID_INPUT, str(error), faults)


def unavailable(detail: str) -> Problem:
    return Problem(Kind.UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_UNAVAILABLE)})


def _of_refused(error: InferqError) -> Problem:
    return Problem(Kind.INVALID_INPUT, str(error))


def _fault(error: ErrorDetails | Mapping[str, Any]) -> Fault:
    place, message = tuple(error["loc"]), _expected(error)
    got = "nothing" if error["type"] == "missing" else shown(error["input"])
    if place and place[0] in ("query", "path", "header", "cookie"):
        name = str(place[1]) if len(place) > 1 else str(place[0])
        return Fault(f"{name}: expected {message}, got {got}", parameter=name, expected=message, got=got)
    name = ".".join(map(str, place)) or "the body"
    return Fault(f"{name}: expected {message}, got {got}", pointer=pointer(*place), expected=message, got=got)


def _expected(error: ErrorDetails | Mapping[str, Any]) -> str:
    words = _EXPECTED.get(error["type"])
    return str(error["msg"]).removeprefix("Input should be ") if words is None else words.format(**error.get("ctx", {}))


def _of_conflict(_: InferqError) -> Problem:
    fault = Fault("the key stands for another payload", parameter="Idempotency-Key")
    return Problem(Kind.KEY_REUSED, "use a new Idempotency-Key for a new request", [fault])


def _of_unknown_job(_: InferqError) -> Problem:
    return Problem(Kind.UNKNOWN_PREDICTION, "it was never accepted here, or was deleted since: check the id")


def _of_unknown_model(_: InferqError) -> Problem:
    return Problem(Kind.UNKNOWN_MODEL, "no model of this name is registered: check the name")


def _of_unknown_version(error: InferqError) -> Problem:
    return Problem(Kind.UNKNOWN_VERSION, str(error))


def _of_unfinished(error: InferqError) -> Problem:
    return Problem(Kind.UNFINISHED, str(error))


def _of_unknown_rollout(_: InferqError) -> Problem:
    return Problem(Kind.UNKNOWN_ROLLOUT, "its champion answers alone")


def _of_unknown_webhook(_: InferqError) -> Problem:
    return Problem(Kind.UNKNOWN_WEBHOOK, "no webhook has this id: check it")


def _of_unknown_delivery(_: InferqError) -> Problem:
    return Problem(Kind.UNKNOWN_DELIVERY, "no delivery has this id, or it was deleted since: check it")


def _of_unknown_upload(_: InferqError) -> Problem:
    return Problem(Kind.UNKNOWN_BATCH, "it was never begun here, or was deleted since: check the id")


def _of_ended_upload(error: InferqError) -> Problem:
    return Problem(Kind.BATCH_ENDED, str(error))


def _of_full(error: BacklogFull) -> Problem:
    after = error.retry_after
    headers = {} if after is None else {"Retry-After": str(math.ceil(after))}
    extra = {"model": error.model, "retry_after_seconds": after, "never_fits": error.never_fits}
    return Problem(Kind.BACKLOG_FULL, error.reason, headers=headers, extra=extra)


def _of_store(error: InferqError) -> Problem:
    log.warning("store_unavailable", reason=str(error))
    return unavailable("the store does not answer, and nothing was done: try again")


def _of_broker(error: InferqError) -> Problem:
    log.warning("broker_unavailable", reason=str(error))
    return unavailable("the broker does not answer: try again")


def _of_others(error: InferqError) -> Problem:
    log.error("unexpected_error", kind=type(error).__name__, reason=str(error))
    return Problem(Kind.INTERNAL, "the gateway's log says more, under this request_id")


# The first class that fits decides.
_BY_ERROR: tuple[tuple[type[InferqError], Callable[[Any], Problem]], ...] = (
    (InvalidInput, of_invalid),
    (RegistrationRefused, _of_refused),
    (IdempotencyConflict, _of_conflict),
    (UnknownJob, _of_unknown_job),
    (UnknownModel, _of_unknown_model),
    (UnknownVersion, _of_unknown_version),
    (JobUnfinished, _of_unfinished),
    (UnknownWebhook, _of_unknown_webhook),
    (UnknownDelivery, _of_unknown_delivery),
    (UnknownUpload, _of_unknown_upload),
    (UploadEnded, _of_ended_upload),
    (UnknownRollout, _of_unknown_rollout),
    (BacklogFull, _of_full),
    (StoreError, _of_store),
    (BrokerUnavailable, _of_broker),
    (InferqError, _of_others),
)
