"""Predictions as they are written: bodies, entity tags, cursors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from inferq.gateway.problems import Fault, Kind, Problem, shown
from inferq.gateway.schemas import PredictionRequest
from inferq_core.documents import Asked, asked_fields, ended, moment
from inferq_core.ids import JobId
from inferq_core.states import Priority
from inferq_core.store.records import JobNow, JobPage, JobRow, JobView

__all__ = ["Asked", "answer", "asked_in", "cursor_of", "ended", "moment", "page", "parse_cursor", "unfinished"]

JSON = "application/json"


def asked_in(asked: PredictionRequest) -> Asked:
    version = None if asked.version is None else str(asked.version)
    return Asked(version, asked.method, asked.priority, len(asked.inputs), asked.metadata)


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status, headers, JSON)


def unfinished(view: JobView, eta: float | None) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("outputs", "error", "version", "variant", "batch_rows", "completed_at", "timings"),
    )
    return nothing | {
        "id": view.id,
        "model": view.model,
        "state": view.state,
        **asked_fields(Asked.of_view(view)),
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


def priority_of(name: str) -> Priority:
    return Priority[name.upper()]


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
