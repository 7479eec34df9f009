"""What goes in and out under /v1, as pydantic models: requests are checked with them, OpenAPI is made of all."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from inferq.options import MAX_KEY, is_text
from inferq_core.receivers import MAX_URL

EXAMPLE_ID = "01977d5c-6a3f-7c1e-9d0a-3f1f4c6b2a10"
EXAMPLE_TIME = "2026-03-02T09:30:00.125000Z"
# What INTEGER of a database holds.
MAX_NUMBER = 2**31 - 1
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
# Characters of an alias.
MAX_ALIAS = 64

StateName = Literal["queued", "running", "succeeded", "failed", "expired", "cancelled"]
EndName = Literal["succeeded", "failed", "expired", "cancelled"]
MethodName = Literal["predict", "predict_proba", "decision_function", "transform"]
PriorityName = Literal["interactive", "normal", "bulk"]

# Rows are checked against the model's signature, once; a list of lists walked by pydantic as well would cost as much.
ROWS_SCHEMA = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [{"type": "array", "items": {}}, {"type": "object"}, {"type": "string"}]},
}
Rows = Annotated[list[Any], WithJsonSchema(ROWS_SCHEMA)]


def _version(value: Any) -> int | str | None:
    number = type(value) is int and 1 <= value <= MAX_NUMBER
    alias = isinstance(value, str) and is_text(value) and len(value) <= MAX_ALIAS
    if value is None or number or alias:
        return value  # type: ignore[no-any-return]
    raise PydanticCustomError("version", "a number from 1, or an alias")


def _time(value: Any) -> Any:
    """Pydantic takes numbers for times, too."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        return value
    raise PydanticCustomError("time", "a time with a zone, as RFC 3339 has it: 2026-03-02T09:30:00Z")


def _existing(value: Any) -> int | str:
    found = _version(value)
    if found is None:
        raise PydanticCustomError("version", "a number from 1, or an alias")
    return found


_VERSIONS = [
    {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER},
    {"type": "string", "minLength": 1, "maxLength": MAX_ALIAS},
]
# One error for it, where a union has one for each of its members.
VersionReference = Annotated[
    int | str | None, PlainValidator(_version), WithJsonSchema({"anyOf": [*_VERSIONS, {"type": "null"}]})
]
ExistingVersion = Annotated[int | str, PlainValidator(_existing), WithJsonSchema({"anyOf": _VERSIONS})]


class Form(BaseModel):
    """A body that is read: no conversions, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WebhookRequest(Form):
    """Who is told how a prediction ends."""

    url: str = Field(
        min_length=1,
        max_length=MAX_URL,
        description="Where the event is posted to: https, on the public internet unless the operator allows more.",
        examples=["https://example.com/inferq"],
    )
    states: list[EndName] | None = Field(
        default=None,
        min_length=1,
        max_length=4,
        description="Only when it ends like this; null: however it ends.",
        examples=[["succeeded", "failed"]],
    )


class PredictionRequest(Form):
    """Rows for a model, and how to treat them."""

    inputs: Rows = Field(
        min_length=1,
        description="The rows: an array of values in the model's order for each, or an object of values by column "
        "name, or a text. null is a missing value.",
        examples=[[[5.1, 3.5, 1.4, 0.2]], [{"age": 41, "plan": "basic"}]],
    )
    version: VersionReference = Field(
        default=None,
        description="Number or alias of the version; without it the champion when the job runs.",
        examples=[3, "challenger"],
    )
    method: MethodName = Field(default="predict", description="The estimator's method.", examples=["predict_proba"])
    priority: PriorityName = Field(
        default="normal", description="How urgent it is: interactive first, bulk last.", examples=["interactive"]
    )
    deadline_seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds from now after which the prediction expires unless a batch has begun it.",
        examples=[30.0],
    )
    routing_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_KEY,
        description="Predictions with the same key meet the same variant of a rollout.",
        examples=["customer-17"],
    )
    webhook: WebhookRequest | None = Field(
        default=None, description="Who is told when it has ended; signed with the secret of the caller's key."
    )
    metadata: dict[str, Any] | None = Field(
        default=None, description="Kept with the prediction and given back; 16 KiB at most.", examples=[{"order": 12}]
    )


class FeedbackRequest(Form):
    """The ground truth of a prediction."""

    actual: Any = Field(
        description="What was right: one value for a prediction of one row, else an array with one for each row.",
        examples=[7, ["cat", "dog"]],
    )


class Accepted(BaseModel):
    """The prediction is durable; its answer is to come."""

    id: str = Field(description="Id of the prediction, a UUID.", examples=[EXAMPLE_ID])
    model: str = Field(description="Name of the model.", examples=["iris"])
    state: StateName = Field(description="Where it is now.", examples=["queued"])
    eta_seconds: float | None = Field(
        description="Seconds until it is expected to end, by what workers have learned; null when that cannot be told.",
        examples=[0.8],
    )


class PredictionError(BaseModel):
    """Why a prediction ended without outputs."""

    code: Literal[
        "invalid_input",
        "model_error",
        "worker_lost",
        "time_limit",
        "deadline_exceeded",
        "cancelled",
        "unknown_version",
        "artifact_rejected",
    ] = Field(description="What happened, in a word that stays the same.", examples=["model_error"])
    message: str | None = Field(description="What happened, for people.", examples=["ValueError: unknown city"])


class Timings(BaseModel):
    """Seconds by the database's clock; null for a stage that was never reached."""

    queued: float | None = Field(description="From accepted to claimed by the batch that ended it.", examples=[0.004])
    predicted: float | None = Field(description="From claimed to predicted.", examples=[0.002])
    total: float = Field(description="From accepted to stored.", examples=[0.009])


class Prediction(BaseModel):
    """A prediction as it is now. Once `state` is succeeded, failed, expired or cancelled, nothing of it changes."""

    id: str = Field(description="Its id, a UUID.", examples=[EXAMPLE_ID])
    model: str = Field(description="Name of the model.", examples=["iris"])
    state: StateName = Field(description="Where it is.", examples=["succeeded"])
    outputs: list[Any] | None = Field(description="One item for each row; null unless succeeded.", examples=[[0]])
    error: PredictionError | None = Field(description="Why there are no outputs; null unless it ended without.")
    version: int | None = Field(description="The version that answered; null until then.", examples=[3])
    variant: str | None = Field(
        description="primary, also without a rollout, or canary; null where the version was named.",
        examples=["primary"],
    )
    requested_version: str | None = Field(
        description="The number or alias that was asked for; null for the champion.", examples=["challenger"]
    )
    method: MethodName = Field(description="The estimator's method.", examples=["predict"])
    priority: PriorityName = Field(description="How urgent it is.", examples=["normal"])
    rows: int = Field(description="Rows that it has.", examples=[1])
    attempts: int = Field(description="Times that a batch has claimed it.", examples=[1])
    batch_rows: int | None = Field(description="Rows of the predict call that served it.", examples=[64])
    metadata: dict[str, Any] | None = Field(description="What was given with it.", examples=[{"order": 12}])
    created_at: datetime = Field(description="When it was accepted (UTC).", examples=[EXAMPLE_TIME])
    completed_at: datetime | None = Field(description="When it ended (UTC); null until then.", examples=[EXAMPLE_TIME])
    timings: Timings | None = Field(description="Where the time went; null until it has ended.")
    eta_seconds: float | None = Field(
        description="Seconds until it is expected to end; 0 once it has, null when that cannot be told.", examples=[0.0]
    )


class PredictionItem(BaseModel):
    """A prediction in a list."""

    id: str = Field(description="Its id.", examples=[EXAMPLE_ID])
    model: str = Field(description="Name of the model.", examples=["iris"])
    state: StateName = Field(description="Where it is.", examples=["failed"])
    version: int | None = Field(description="The version that answered.", examples=[3])
    priority: PriorityName = Field(description="How urgent it is.", examples=["normal"])
    rows: int = Field(description="Rows that it has.", examples=[1])
    attempts: int = Field(description="Times that a batch has claimed it.", examples=[1])
    error_code: str | None = Field(description="Why it ended without outputs.", examples=["model_error"])
    created_at: datetime = Field(description="When it was accepted (UTC).", examples=[EXAMPLE_TIME])
    completed_at: datetime | None = Field(description="When it ended (UTC).", examples=[EXAMPLE_TIME])


class PredictionPage(BaseModel):
    """Some predictions, the newest first."""

    predictions: list[PredictionItem] = Field(
        description="Those that match. May be empty although more follow: the search stops after many that do not."
    )
    next_cursor: str | None = Field(
        description="Give it as `cursor` to go on; null when there are no more.", examples=["AZd9XGo_fB6dCj8fTGsqEA"]
    )


class PredictionQuery(BaseModel):
    """What to list."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=100, description="Only of this model.", examples=["iris"])
    state: StateName | None = Field(default=None, description="Only in this state.", examples=["failed"])
    version: int | None = Field(
        default=None, ge=1, le=MAX_NUMBER, description="Only those that this version answered.", examples=[3]
    )
    created_after: Annotated[AwareDatetime, BeforeValidator(_time)] | None = Field(
        default=None, description="Only those accepted then or later (RFC 3339 with a zone).", examples=[EXAMPLE_TIME]
    )
    cursor: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{21}[AQgw]$",
        description="`next_cursor` of the page before.",
        examples=["AZd9XGo_fB6dCj8fTGsqEA"],
    )
    limit: int = Field(default=50, ge=1, le=200, description="How many at the most.", examples=[50])


class InferenceError(BaseModel):
    """What went wrong, in the form of the Open Inference Protocol."""

    error: str = Field(description="What was wrong, and what to do.", examples=["The request does not fit: …"])


class ProblemFault(BaseModel):
    """A field that is wrong."""

    detail: str = Field(description="What is wrong.", examples=["row 0, column 2: expected a number, got 'x' (str)"])
    pointer: str | None = Field(default=None, description="Where in the body (RFC 6901).", examples=["/inputs/0/2"])
    parameter: str | None = Field(default=None, description="Or the parameter or header.", examples=["limit"])
    line: int | None = Field(default=None, description="Or the line of a batch's body, from 1.", examples=[17])
    row: int | None = Field(default=None, description="Or the row of a Parquet file, from 0.", examples=[16])
    column: str | None = Field(default=None, description="The column there: name, or number from 0.", examples=["age"])
    expected: str | None = Field(default=None, description="What it takes.", examples=["a number"])
    got: str | None = Field(default=None, description="What came.", examples=["'x' (str)"])


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Names the kind of problem, for ever.", examples=["urn:inferq:problem:invalid-input"])
    title: str = Field(description="The kind in words.", examples=["The request does not fit"])
    status: int = Field(description="The status code.", examples=[422])
    detail: str = Field(description="What was wrong this time, and what to do.")
    request_id: str | None = Field(default=None, description="Stands in the gateway's log, too.")
    errors: list[ProblemFault] | None = Field(default=None, description="The fields that are wrong.")
    retry_after_seconds: float | None = Field(
        default=None,
        description="rate-limited: when there is a request again; backlog-full: when there will be room, as learned, "
        "null when that cannot be told.",
    )
    model: str | None = Field(default=None, description="backlog-full: which model.", examples=["iris"])
    never_fits: bool | None = Field(default=None, description="backlog-full: it has more rows than there is ever room.")
    batch: str | None = Field(default=None, description="Of a batch that broke off: its id.", examples=[EXAMPLE_ID])
    accepted: int | None = Field(default=None, description="And its rows that were accepted and go on.", examples=[16])
