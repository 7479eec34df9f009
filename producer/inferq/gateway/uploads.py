"""/v1/…/batches: many rows in one body, a prediction each."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from inferq.gateway import bodies
from inferq.gateway.access import Caller
from inferq.gateway.descriptions import KEY, TEXT, TRACE, header, responses
from inferq.gateway.documents import answer, cursor_of, moment, parse_cursor
from inferq.gateway.headers import idempotency_key_of, traceparent_of
from inferq.gateway.models import known
from inferq.gateway.predictions import Model
from inferq.gateway.problems import Fault, Kind, Problem, shown
from inferq.gateway.reading import Asked
from inferq.gateway.schemas import EXAMPLE_ID
from inferq.gateway.services import Services, services_of
from inferq.gateway.upload_schemas import Batch, BatchOptions, BatchPage, BatchQuery, ResultsQuery
from inferq.options import SubmitOptions, check_options
from inferq_core.errors import UnknownUpload
from inferq_core.ids import JobId, UploadId
from inferq_core.states import State
from inferq_core.store.records import KeyScope
from inferq_core.store.upload_records import UploadNow

router = APIRouter(prefix="/v1", tags=["batches"])

BatchId = Annotated[str, Path(description="Id of the batch.", examples=[EXAMPLE_ID])]

# How a body is read, by its type.
FORMATS: Mapping[str, str] = {
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
}
NDJSON = "application/x-ndjson"

_LINES = {"schema": TEXT, "example": '[5.1, 3.5, 1.4, 0.2]\n{"age": 41, "plan": "basic"}\n'}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "A row a line as JSON; or CSV, with a header of the model's column names where it has names; or "
        "Parquet.",
        "content": {
            NDJSON: _LINES,
            "application/jsonl": _LINES,
            "text/csv": {"schema": TEXT, "example": "age,plan\n41,basic\n"},
            "application/vnd.apache.parquet": {"schema": TEXT | {"format": "binary"}},
        },
    }
}


@router.post(
    "/models/{model}/batches",
    summary="Enqueue many rows",
    status_code=202,
    responses=responses(
        {
            202: {
                "model": Batch,
                "description": "All of it is durable.",
                "headers": {"Location": header("Where the batch is.", f"/v1/batches/{EXAMPLE_ID}")},
            }
        },
        Kind.BODY_TIMEOUT,
        Kind.TOO_LARGE,
        Kind.UNSUPPORTED_MEDIA_TYPE,
        Kind.INVALID_INPUT,
        Kind.UNKNOWN_MODEL,
        Kind.UNKNOWN_VERSION,
        Kind.KEY_REUSED,
        Kind.BATCH_ENDED,
        Kind.BACKLOG_FULL,
        Kind.FORBIDDEN,
    ),
    openapi_extra=_BODY | {"parameters": [KEY, TRACE]},
)
async def enqueue(request: Request, model: Model, options: Annotated[BatchOptions, Query()]) -> Response:
    """Each row becomes a prediction while the body is being read. Returns when the last one is durable.

    A body that breaks off (a row that does not fit, a connection that ends, no room in the backlog) leaves what was
    accepted by then: the problem names the batch and the number of rows. With an Idempotency-Key the same body is sent
    once more then, from its start, and goes on where it broke off.
    """
    services = services_of(request)
    caller = await services.caller(request, KeyScope.SUBMIT)
    asked = Asked(
        model=caller.require_model(known(model)),
        options=_options(request, caller, options),
        format=_format_of(request),
        bytes_total=_length_of(request, services.settings.max_batch_body_bytes),
    )
    try:
        now = await services.readings.read(request, asked)
    except Problem as problem:
        told = replace(problem, headers={**problem.headers, "Connection": "close"})
        return bodies.Lingering(told.response(request.url.path, request.state.request_id), request)
    return answer(await _document(services, now), 202, {"Location": f"/v1/batches/{now.upload.id}"})


@router.get(
    "/batches",
    summary="List batches",
    responses=responses({200: {"model": BatchPage}}, Kind.INVALID_INPUT),
)
async def listing(request: Request, query: Annotated[BatchQuery, Query()]) -> Response:
    """The newest first, from their first accepted row on. Follow `next_cursor` until it is null."""
    services = services_of(request)
    caller = await services.caller(request)
    before = None if query.cursor is None else UploadId(parse_cursor(query.cursor))
    found = await services.ask(
        lambda store: store.newest_uploads(model=query.model, owner=caller.own_only, before=before, limit=query.limit)
    )
    cursor = cursor_of(JobId(found[-1].upload.id)) if len(found) == query.limit else None
    seen = [now for now in found if caller.sees(now.upload)]
    return answer({"batches": [_item(now) for now in seen], "next_cursor": cursor})


@router.get(
    "/batches/{batch_id}",
    summary="Read a batch",
    responses=responses({200: {"model": Batch}}, Kind.UNKNOWN_BATCH, Kind.INVALID_INPUT),
)
async def read(request: Request, batch_id: BatchId) -> Response:
    """How far it has come, while its body is being read as well."""
    services = services_of(request)
    now = await _visible(services, await services.caller(request), batch_id)
    return answer(await _document(services, now))


@router.get(
    "/batches/{batch_id}/results",
    summary="Read the results of a batch",
    response_class=StreamingResponse,
    responses=responses(
        {
            200: {
                "description": "A line of JSON for each accepted row, in their order: `row`, `id`, `state`, `outputs`, "
                "`error`, `version`, `completed_at`.",
                "content": {NDJSON: {"schema": TEXT}},
            }
        },
        Kind.UNKNOWN_BATCH,
        Kind.INVALID_INPUT,
    ),
)
async def results(request: Request, batch_id: BatchId, query: Annotated[ResultsQuery, Query()]) -> Response:
    """A row that has not ended has no `outputs` yet, and its `state` says so.

    After a broken connection, go on with `first`.
    """
    services = services_of(request)
    now = await _visible(services, await services.caller(request), batch_id)
    lines = services.batch_jobs.lines(now, query.first, lambda: services.stopping)
    return StreamingResponse(lines, media_type=NDJSON)


@router.post(
    "/batches/{batch_id}/cancel",
    summary="Take a batch back",
    responses=responses(
        {200: {"model": Batch, "description": "It is cancelled; or all of it had ended before, and stays as it is."}},
        Kind.UNKNOWN_BATCH,
        Kind.INVALID_INPUT,
        Kind.FORBIDDEN,
    ),
)
async def cancel(request: Request, batch_id: BatchId) -> Response:
    """No more rows are accepted, and those that have not ended are cancelled; `counts` tells how many are left.

    Rows of a large batch are cancelled after the answer, too. Ask again where a gateway was stopped meanwhile.
    """
    services = services_of(request)
    caller = await services.caller(request)
    now = await _visible(services, caller, batch_id)
    caller.require(KeyScope.SUBMIT if caller.owns(now.upload) else KeyScope.ADMIN)
    await services.batch_jobs.cancel(now)
    return answer(await _document(services, await services.ask(lambda store: store.upload(now.upload.id))))


def _format_of(request: Request) -> str:
    """Raises Problem."""
    bodies.require_type(request, *FORMATS)
    name = request.headers["content-type"].partition(";")[0].strip().lower()
    if FORMATS[name] == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise Problem(
            Kind.UNSUPPORTED_MEDIA_TYPE,
            "this gateway cannot read Parquet: install inferq[parquet] where it runs, or send CSV or lines of JSON",
            headers={"Connection": "close"},
        )
    return FORMATS[name]


def _length_of(request: Request, max_bytes: int) -> int | None:
    """Raises Problem."""
    declared = request.headers.get("content-length", "")
    if not declared.isdigit():
        return None
    if int(declared) > max_bytes:
        raise bodies.too_large(max_bytes, "INFERQ_MAX_BATCH_BODY_BYTES")
    return int(declared)


def _options(request: Request, caller: Caller, options: BatchOptions) -> SubmitOptions:
    return check_options(
        version=options.version,
        method=options.method,
        priority=options.priority,
        deadline=options.deadline_seconds,
        idempotency_key=caller.own_key(idempotency_key_of(request)),
        metadata=None if options.metadata is None else _metadata(options.metadata),
        traceparent=traceparent_of(request),
        owner=caller.key_id,
    )


def _metadata(text: str) -> dict[str, Any]:
    """Raises Problem."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        expected = "a JSON object"
        fault = Fault(
            f"metadata: expected {expected}, got {shown(text)}",
            parameter="metadata",
            expected=expected,
            got=shown(text),
        )
        raise Problem(Kind.INVALID_INPUT, fault.detail, [fault])
    return value


async def _visible(services: Services, caller: Caller, batch_id: str) -> UploadNow:
    """Raises UnknownUpload for who may not see it, as for what does not exist."""
    now = await services.ask(lambda store: store.upload(batch_id))
    if not caller.sees(now.upload):
        raise UnknownUpload(batch_id)
    return now


async def _document(services: Services, now: UploadNow) -> dict[str, Any]:
    counts = await services.batch_jobs.counts(now)
    ended = sum(n for state, n in counts.states.items() if state.terminal)
    return _item(now) | {
        "counts": {state.value: counts.states.get(state, 0) for state in State},
        "ended": ended,
        "progress": ended / now.accepted,
    }


def _item(now: UploadNow) -> dict[str, Any]:
    upload = now.upload
    return {
        "id": upload.id,
        "model": upload.model,
        "state": now.state,
        "reason": now.reason,
        "accepted": now.accepted,
        "bytes_read": now.bytes_read,
        "bytes_total": upload.bytes_total,
        "format": upload.format,
        "requested_version": upload.version,
        "method": upload.method.value,
        "priority": upload.priority.label,
        "deadline_seconds": upload.deadline,
        "metadata": None if upload.metadata is None else orjson.loads(upload.metadata),
        "owner": upload.owner,
        "created_at": moment(now.created_at),
        "read_at": moment(now.ended_at),
    }
