"""Predictions as they are written: bodies, entity tags, cursors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from inferq.gateway.problems import Fault, Kind, Problem, shown
from inferq.gateway.schemas import PredictionRequest
from inferq_core.ids import JobId
from inferq_core.states import Priority, State
from inferq_core.store.records import JobNow, JobPage, JobRow, JobView, StoredResult

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller decided about a prediction."""

    version: str | None
    method: str
    priority: str
    rows: int
    metadata: Mapping[str, Any] | None

    @classmethod
    def of_request(cls, asked: PredictionRequest) -> Asked:
        version = None if asked.version is None else str(asked.version)
        return cls(version, asked.method, asked.priority, len(asked.inputs), asked.metadata)

    @classmethod
    def of_view(cls, view: JobView) -> Asked:
        return cls(view.version, view.method.value, view.priority.label, view.n_rows, view.metadata)


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status, headers, JSON)


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
        **_asked(asked),
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


def unfinished(view: JobView, eta: float | None) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("outputs", "error", "version", "variant", "batch_rows", "completed_at", "timings"),
    )
    return nothing | {
        "id": view.id,
        "model": view.model,
        "state": view.state,
        **_asked(Asked.of_view(view)),
        "attempts": view.attempts,
        "created_at": moment(view.created_at),
        "eta_seconds": eta,
    }


def tag_of(now: JobNow) -> str:
    """The entity tag in quotes. It changes with the state, and with each attempt; the estimate makes it a weak one."""
    attempts = now.result.attempt if now.result is not None else now.view.attempts
    return f'"{now.view.state}.{attempts}"'


def page(found: JobPage) -> dict[str, Any]:
    cursor = None if found.reached is None else cursor_of(found.reached)
    return {"predictions": [_item(row) for row in found.jobs], "next_cursor": cursor}


def cursor_of(job_id: JobId) -> str:
    return base64.urlsafe_b64encode(UUID(job_id).bytes).rstrip(b"=").decode()


def parse_cursor(cursor: str) -> JobId:
    """Raises Problem."""
    try:
        return JobId(str(UUID(bytes=base64.b64decode(f"{cursor}==".encode(), b"-_", validate=True))))
    except (ValueError, binascii.Error):
        expected = "the next_cursor of a page"
        detail = f"cursor: expected {expected}, got {shown(cursor)}"
        fault = Fault(detail, parameter="cursor", expected=expected, got=shown(cursor))
        raise Problem(Kind.INVALID_INPUT, detail, [fault]) from None


def moment(seconds: float | None) -> str | None:
    """RFC 3339, in UTC, to the microsecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def priority_of(name: str) -> Priority:
    return Priority[name.upper()]


def _asked(asked: Asked) -> dict[str, Any]:
    return {
        "requested_version": asked.version,
        "method": asked.method,
        "priority": asked.priority,
        "rows": asked.rows,
        "metadata": asked.metadata,
    }


def _item(row: JobRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "model": row.model,
        "state": row.state,
        "version": row.version,
        "priority": row.priority.label,
        "rows": row.n_rows,
        "attempts": row.attempts,
        "error_code": row.error_code,
        "created_at": moment(row.created_at),
        "completed_at": moment(row.completed_at),
    }
