"""Batches as OpenAPI describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from inferq.gateway.schemas import (
    EXAMPLE_ID,
    EXAMPLE_TIME,
    MAX_ALIAS,
    MethodName,
    PredictionError,
    PriorityName,
    StateName,
)

# Numbers that rows can have.
MAX_ROW = 2**32 - 1

BatchState = Literal["reading", "incomplete", "complete", "cancelled"]
FormatName = Literal["csv", "ndjson", "parquet"]
CURSOR = r"^[A-Za-z0-9_-]{21}[AQgw]$"


class BatchOptions(BaseModel):
    """How to treat the rows."""

    model_config = ConfigDict(extra="forbid")

    version: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ALIAS,
        description="Number or alias of the version; without it the champion when a row runs.",
        examples=["challenger"],
    )
    method: MethodName = Field(default="predict", description="The estimator's method.", examples=["predict_proba"])
    priority: PriorityName = Field(default="bulk", description="How urgent the rows are.", examples=["bulk"])
    deadline_seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds after its acceptance at which a row expires unless a worker has begun it.",
        examples=[3600.0],
    )
    metadata: str | None = Field(
        default=None,
        description="A JSON object that is kept with the batch and given back; 16 KiB at most.",
        examples=['{"campaign": 12}'],
    )


class BatchQuery(BaseModel):
    """What to list."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=100, description="Only of this model.", examples=["iris"])
    cursor: str | None = Field(
        default=None,
        pattern=CURSOR,
        description="`next_cursor` of the page before.",
        examples=["AZd9XGo_fB6dCj8fTGsqEA"],
    )
    limit: int = Field(default=50, ge=1, le=200, description="How many at the most.", examples=[50])


class ResultsQuery(BaseModel):
    """Which rows."""

    model_config = ConfigDict(extra="forbid")

    first: int = Field(default=0, ge=0, le=MAX_ROW, description="The row to begin with, from 0.", examples=[1000])


class BatchItem(BaseModel):
    """A batch: rows that came in one body, each a prediction of its own."""

    id: str = Field(description="Its id, a UUID.", examples=[EXAMPLE_ID])
    model: str = Field(description="Name of the model.", examples=["iris"])
    state: BatchState = Field(
        description="How far its body has come: it is being read; it broke off (`incomplete`; what was accepted goes "
        "on); it was read to its end; or the batch was cancelled.",
        examples=["complete"],
    )
    reason: str | None = Field(description="Why it is incomplete.", examples=["the connection ended before the body"])
    accepted: int = Field(description="Rows that are predictions now: 0 to this one, without it.", examples=[100000])
    bytes_read: int = Field(description="Bytes of the body that came.", examples=[4200000])
    bytes_total: int | None = Field(description="Bytes that it has, as its sender said.", examples=[4200000])
    format: FormatName = Field(description="How the body was read.", examples=["ndjson"])
    requested_version: str | None = Field(
        description="The number or alias that was asked for; null for the champion.", examples=["challenger"]
    )
    method: MethodName = Field(description="The estimator's method.", examples=["predict"])
    priority: PriorityName = Field(description="How urgent its rows are.", examples=["bulk"])
    deadline_seconds: float | None = Field(description="Seconds that each row has to begin.", examples=[3600.0])
    metadata: dict[str, Any] | None = Field(description="What was given with it.", examples=[{"campaign": 12}])
    owner: str | None = Field(description="Id of the key that it was sent with.", examples=["0f3a9c5be112"])
    created_at: datetime = Field(description="When its first rows were accepted (UTC).", examples=[EXAMPLE_TIME])
    read_at: datetime | None = Field(
        description="When the reading of its body ended (UTC); null until then.", examples=[EXAMPLE_TIME]
    )


class RowCounts(BaseModel):
    """Accepted rows by state."""

    queued: int = Field(description="Rows that wait.", examples=[58000])
    running: int = Field(description="Rows that a batch of a worker holds.", examples=[2000])
    succeeded: int = Field(description="Rows with outputs.", examples=[39990])
    failed: int = Field(description="Rows that could not be predicted.", examples=[10])
    expired: int = Field(description="Rows whose deadline was over.", examples=[0])
    cancelled: int = Field(description="Rows that were taken back.", examples=[0])


class Batch(BatchItem):
    """A batch, and how far its rows have come."""

    counts: RowCounts = Field(description="The accepted rows by state.")
    ended: int = Field(description="Accepted rows that have ended, one way or another.", examples=[40000])
    progress: float = Field(description="The same as a part of all accepted ones, 0 to 1.", examples=[0.4])


class BatchPage(BaseModel):
    """Some batches, the newest first."""

    batches: list[BatchItem] = Field(description="Those that match.")
    next_cursor: str | None = Field(
        description="Give it as `cursor` to go on; null when there are no more.", examples=["AZd9XGo_fB6dCj8fTGsqEA"]
    )


class BatchResult(BaseModel):
    """A line of the results: a row as it is now."""

    row: int = Field(description="Its number in the body, from 0.", examples=[17])
    id: str = Field(description="Id of its prediction.", examples=[EXAMPLE_ID])
    state: StateName = Field(description="Where it is.", examples=["succeeded"])
    outputs: list[Any] | None = Field(description="One item for the row; null unless succeeded.", examples=[[0]])
    error: PredictionError | None = Field(description="Why there are no outputs; null unless it ended without.")
    version: int | None = Field(description="The version that answered.", examples=[3])
    completed_at: datetime | None = Field(description="When it ended (UTC).", examples=[EXAMPLE_TIME])
