"""/v1/…/predictions: enqueue, poll, wait, take back, tell the truth."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from inferq.gateway import documents
from inferq.gateway.bodies import read_form, require_writable
from inferq.gateway.descriptions import KEY, PREFER, TEXT, TRACE, WITH_BODY, body, header, responses
from inferq.gateway.documents import Asked, answer
from inferq.gateway.headers import idempotency_key_of, is_known, traceparent_of, wait_of
from inferq.gateway.models import known
from inferq.gateway.problems import Kind, misfit
from inferq.gateway.schemas import (
    EXAMPLE_ID,
    Accepted,
    FeedbackRequest,
    Prediction,
    PredictionPage,
    PredictionQuery,
    PredictionRequest,
)
from inferq.gateway.services import Services, services_of
from inferq.gateway.webhook_documents import checked_webhook
from inferq_core.errors import InferqError
from inferq_core.ids import JobId
from inferq_core.states import State
from inferq_core.store.contract import Store
from inferq_core.store.records import JobNow, JobPage, KeyScope

router = APIRouter(prefix="/v1", tags=["predictions"])

ENQUEUE = "/models/{model}/predictions"

Model = Annotated[str, Path(description="Name of the model.", examples=["iris"])]
PredictionId = Annotated[str, Path(description="Id of the prediction.", examples=[EXAMPLE_ID])]

_APPLIED = header("The wait that was applied, in case it was asked for.", "wait=5")
_LOCATION = header("Where the prediction is.", f"/v1/predictions/{EXAMPLE_ID}")
_KNOWN = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag that is known: 304 while it is the same, with `Prefer: wait` after the wait.",
    "schema": TEXT,
    "example": 'W/"queued.0"',
}


@router.post(
    ENQUEUE,
    summary="Enqueue a prediction",
    status_code=202,
    responses=responses(
        {
            200: {
                "model": Prediction,
                "description": "It ended within `Prefer: wait`.",
                "headers": {"Location": _LOCATION, "Preference-Applied": _APPLIED},
            },
            202: {
                "model": Accepted,
                "description": "It is durable.",
                "headers": {"Location": _LOCATION, "Preference-Applied": _APPLIED},
            },
        },
        *WITH_BODY,
        Kind.UNKNOWN_MODEL,
        Kind.UNKNOWN_VERSION,
        Kind.KEY_REUSED,
        Kind.BACKLOG_FULL,
        Kind.FORBIDDEN,
    ),
    openapi_extra=body(PredictionRequest) | {"parameters": [PREFER, KEY, TRACE]},
)
async def enqueue(request: Request, model: Model) -> Response:
    """Returns when the prediction is durable, or with `Prefer: wait=n` when it has ended, after n seconds at most.

    A caller that waited in vain has a prediction all the same, and asks for it later.
    """
    services = services_of(request)
    caller = await services.caller(request, KeyScope.SUBMIT)
    asked = await read_form(request, PredictionRequest, services.settings.max_body_bytes)
    require_rows(asked.inputs, "inputs")
    key = caller.own_key(idempotency_key_of(request))
    job = await services.client.submit(
        caller.require_model(known(model)),
        asked.inputs,
        version=asked.version,
        method=asked.method,
        priority=asked.priority,
        deadline=asked.deadline_seconds,
        routing_key=asked.routing_key,
        idempotency_key=key,
        metadata=asked.metadata,
        traceparent=traceparent_of(request),
        owner=caller.key_id,
        webhook=checked_webhook(asked.webhook, services.settings, "webhook"),
    )
    request.state.prediction_id = job.id
    wait = wait_of(request, services.settings.max_wait)
    headers = {"Location": f"/v1/predictions/{job.id}"} | _applied(wait)
    result = await _waited(services, job.id, wait)
    # What a key stands for already was submitted with options of its own.
    earlier = await services.now_of(job.id) if key is not None else None
    if result is not None:
        described = documents.asked_in(asked) if earlier is None else Asked.of_view(earlier.view)
        return answer(documents.ended(result, described), 200, headers)
    return answer(await _accepted(services, job.id, model, asked, earlier, waited=wait is not None), 202, headers)


async def direct(request: Request) -> Response:
    """`enqueue` without FastAPI around it, which would be two fifths of what an enqueued prediction costs here."""
    return await enqueue(request, request.path_params["model"])


@router.get(
    "/predictions/{prediction_id}",
    summary="Read a prediction, or wait for it",
    responses=responses(
        {
            200: {
                "model": Prediction,
                "headers": {
                    "ETag": header("Changes when the prediction does.", 'W/"succeeded.1"'),
                    "Preference-Applied": _APPLIED,
                },
            },
            304: {"description": "It is still what `If-None-Match` names."},
        },
        Kind.UNKNOWN_PREDICTION,
        Kind.INVALID_INPUT,
    ),
    openapi_extra={"parameters": [PREFER, _KNOWN]},
)
async def read(request: Request, prediction_id: PredictionId) -> Response:
    """The prediction as it is now; with `Prefer: wait=n` when it has ended, or as it is after n seconds."""
    services = services_of(request)
    caller = await services.caller(request)
    wait = wait_of(request, services.settings.max_wait)
    now = await services.visible(caller, prediction_id)
    if now.result is None and wait:
        await services.waits.result(now.view.id, wait)
        now = await services.now_of(prediction_id)
    tag = documents.tag_of(now)
    headers = {"ETag": f"W/{tag}", "Cache-Control": "private, no-cache"} | _applied(wait)
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    return answer(await document(services, now), 200, headers)


@router.post(
    "/predictions/{prediction_id}/cancel",
    summary="Take a prediction back",
    responses=responses(
        {200: {"model": Prediction, "description": "It is cancelled, or had ended before and stays as it is."}},
        Kind.UNKNOWN_PREDICTION,
        Kind.INVALID_INPUT,
    ),
)
async def cancel(request: Request, prediction_id: PredictionId) -> Response:
    """A queued one never runs; of a running one the answer is dropped. `state` tells what became of it."""
    services = services_of(request)
    caller = await services.caller(request)
    now = await services.visible(caller, prediction_id)
    caller.require(KeyScope.SUBMIT if caller.owns(now.view) else KeyScope.ADMIN)
    await services.client.cancel(now.view.id)
    return answer(await document(services, await services.now_of(now.view.id)))


@router.put(
    "/predictions/{prediction_id}/feedback",
    summary="Tell what was right",
    status_code=204,
    responses=responses(
        {204: {"description": "It is kept; the last one counts."}}, *WITH_BODY, Kind.UNKNOWN_PREDICTION
    ),
    openapi_extra=body(FeedbackRequest),
)
async def feedback(request: Request, prediction_id: PredictionId) -> Response:
    """The ground truth of a prediction, any time after it was enqueued."""
    services = services_of(request)
    caller = await services.caller(request, KeyScope.FEEDBACK)
    told = await read_form(request, FeedbackRequest, services.settings.max_body_bytes)
    now = await services.visible(caller, prediction_id)
    require_writable(told.actual, "actual")
    await services.client.feedback(now.view.id, told.actual)
    return Response(status_code=204)


@router.get(
    "/predictions",
    summary="List predictions",
    responses=responses({200: {"model": PredictionPage}}, Kind.INVALID_INPUT),
)
async def listing(request: Request, query: Annotated[PredictionQuery, Query()]) -> Response:
    """The newest first. Follow `next_cursor` until it is null."""
    services = services_of(request)
    caller = await services.caller(request)
    since = None if query.created_after is None else max(query.created_after.timestamp(), 0.0)
    find = partial(
        _newest,
        model=query.model,
        state=None if query.state is None else State(query.state),
        version=query.version,
        owner=caller.own_only,
        since=since,
        before=None if query.cursor is None else documents.parse_cursor(query.cursor),
        limit=query.limit,
    )
    page = await services.ask(find)
    seen = [row for row in page.jobs if caller.may_ask(row.model)]
    return answer(documents.page(replace(page, jobs=seen)))


def _newest(store: Store, **filters: Any) -> JobPage:
    return store.newest(**filters)


async def _waited(services: Services, job_id: JobId, wait: int | None) -> Any:
    """The result when it came in time. The job is accepted: a store that is away from now on is no reason to fail."""
    if not wait:
        return None
    try:
        return await services.waits.result(job_id, wait)
    except InferqError:
        return None


async def _accepted(
    services: Services,
    job_id: JobId,
    model: str,
    asked: PredictionRequest,
    earlier: JobNow | None,
    *,
    waited: bool,
) -> dict[str, Any]:
    state, eta = State.QUEUED, None
    try:
        if waited and earlier is None:
            earlier = await services.now_of(job_id)
        state = State.QUEUED if earlier is None else earlier.view.state
        eta = 0.0 if state.terminal else await services.eta(job_id, model, documents.priority_of(asked.priority))
    except InferqError:  # as in _waited
        pass
    return {"id": job_id, "model": model, "state": state, "eta_seconds": eta}


async def document(services: Services, now: JobNow) -> dict[str, Any]:
    if now.result is not None:
        return documents.ended(now.result, Asked.of_view(now.view))
    return documents.unfinished(now.view, await services.eta(now.view.id, now.view.model, now.view.priority))


def _applied(wait: int | None) -> dict[str, str]:
    return {} if wait is None else {"Preference-Applied": f"wait={wait}"}


def require_rows(rows: Any, *path: str | int) -> None:
    """Raises Problem for values where rows should be: whether they are one row or many could not be told."""
    if not isinstance(rows, list):
        raise misfit("an array of rows", rows, *path)
    for place, row in enumerate(rows):
        if not isinstance(row, list | dict | str):
            raise misfit("an array, an object or a text for each row", row, *path, place)
