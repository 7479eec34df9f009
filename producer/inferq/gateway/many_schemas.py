"""What goes in and out where one request is about many predictions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from inferq.gateway.schemas import (
    EXAMPLE_ID,
    ROWS_SCHEMA,
    FeedbackRequest,
    Form,
    MethodName,
    Prediction,
    PriorityName,
    StateName,
    VersionReference,
)

# Predictions that one request may make, and that one may be about.
MAX_ITEMS = 10_000
MAX_IDS = 500

Items = Annotated[
    list[Any],
    WithJsonSchema({"type": "array", "minItems": 1, "maxItems": MAX_ITEMS, "items": ROWS_SCHEMA}),
]


class EnqueueRequest(Form):
    """One prediction for each item, all treated alike."""

    items: Items = Field(
        min_length=1,
        max_length=MAX_ITEMS,
        description="The `inputs` of each prediction.",
        examples=[[[[5.1, 3.5, 1.4, 0.2]], [[6.2, 2.9, 4.3, 1.3]]]],
    )
    version: VersionReference = Field(
        default=None, description="Number or alias of the version; the champion without it.", examples=[3]
    )
    method: MethodName = Field(default="predict", description="The estimator's method.", examples=["predict"])
    priority: PriorityName = Field(default="bulk", description="How urgent they are.", examples=["bulk"])
    deadline_seconds: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Seconds from now after which they expire.", examples=[600]
    )
    metadata: dict[str, Any] | None = Field(
        default=None, description="Kept with each of them; 16 KiB at most.", examples=[{"order": 12}]
    )


class IdsRequest(Form):
    """Which predictions."""

    ids: list[str] = Field(min_length=1, max_length=MAX_IDS, description="Ids of predictions.", examples=[[EXAMPLE_ID]])


class OneFeedback(FeedbackRequest):
    """The ground truth of one of them."""

    id: str = Field(description="Id of the prediction.", examples=[EXAMPLE_ID])


class FeedbackManyRequest(Form):
    """The ground truth of many predictions."""

    feedback: list[OneFeedback] = Field(
        min_length=1,
        max_length=MAX_IDS,
        description="What was right, for each.",
        examples=[[{"id": EXAMPLE_ID, "actual": 7}]],
    )


class Enqueued(BaseModel):
    """They are durable; their answers are to come."""

    ids: list[str] = Field(description="Ids of the predictions, in the order asked for.", examples=[[EXAMPLE_ID]])


class Ended(BaseModel):
    """Those of the predictions that have ended."""

    predictions: list[Prediction] = Field(description="As each is read by itself.")
    unfinished: int = Field(description="How many of them have not ended.", examples=[0])


class Found(BaseModel):
    """What became of the request to take predictions back."""

    found: dict[str, StateName] = Field(
        description="The state in which each was found: the queued and running ones are cancelled now.",
        examples=[{EXAMPLE_ID: "queued"}],
    )
