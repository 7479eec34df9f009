"""What is told about a prediction that has ended: over HTTP, in webhooks, in the event stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from inferq_core.states import State
from inferq_core.store.records import JobNow, JobView, StoredResult
from inferq_core.store.webhook_records import Delivery

# Bytes of an event, above which its outputs stay where they are: receivers ask for the prediction.
MAX_EVENT_BYTES = 1024 * 1024
EVENT_MEDIA_TYPE = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller decided about a prediction."""

    version: str | None
    method: str
    priority: str
    rows: int
    metadata: Mapping[str, Any] | None

    @classmethod
    def of_view(cls, view: JobView) -> Asked:
        return cls(view.version, view.method.value, view.priority.label, view.n_rows, view.metadata)


def ended(result: StoredResult, asked: Asked) -> dict[str, Any]:
    claimed, predicted = result.claimed_at, result.predicted_at
    error = None
    if result.state is not State.SUCCEEDED:
        error = {"code": result.error_code or "model_error", "message": result.error_message}
    return {
        "id": result.id,
        "model": result.model,
        "state": result.state,
        "outputs": result.outputs,
        "error": error,
        "version": result.version,
        "variant": result.variant,
        **asked_fields(asked),
        "attempts": result.attempt,
        "batch_rows": result.batch_rows,
        "created_at": moment(result.created_at),
        "completed_at": moment(result.completed_at),
        "timings": {
            "queued": None if claimed is None else claimed - result.created_at,
            "predicted": None if claimed is None or predicted is None else predicted - claimed,
            "total": result.completed_at - result.created_at,
        },
        "eta_seconds": 0.0,
    }


def asked_fields(asked: Asked) -> dict[str, Any]:
    return {
        "requested_version": asked.version,
        "method": asked.method,
        "priority": asked.priority,
        "rows": asked.rows,
        "metadata": asked.metadata,
    }


def moment(seconds: float | None) -> str | None:
    """RFC 3339, in UTC, to the microsecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def cloud_event(delivery: Delivery, now: JobNow, store_id: str) -> bytes:
    """The event as CloudEvents 1.0 has it in JSON: `data` is the prediction, as `GET /v1/predictions/ID` shows it.

    The same bytes whenever it is made. Of one that would be too large the outputs are null, and `dataomitted` says so.
    """
    assert now.result is not None
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": delivery.event_id,
        "source": f"urn:inferq:store:{store_id}",
        "type": f"inferq.prediction.{now.result.state}",
        "subject": now.result.id,
        "time": moment(now.result.completed_at),
        "datacontenttype": "application/json",
        "data": ended(now.result, Asked.of_view(now.view)),
    }
    text = orjson.dumps(event)
    if len(text) > MAX_EVENT_BYTES:
        event["data"]["outputs"] = None
        text = orjson.dumps({**event, "dataomitted": "outputs"})
    return text
