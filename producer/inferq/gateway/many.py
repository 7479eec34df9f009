"""Many predictions in one request, all or none: what clients in bulk, and those that wait for many, ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from inferq.gateway import documents
from inferq.gateway.access import Caller
from inferq.gateway.bodies import read_form, require_writable
from inferq.gateway.descriptions import KEY, PREFER, TRACE, WITH_BODY, body, responses
from inferq.gateway.documents import Asked, answer
from inferq.gateway.headers import idempotency_key_of, traceparent_of, wait_of
from inferq.gateway.many_schemas import Ended, Enqueued, EnqueueRequest, FeedbackManyRequest, Found, IdsRequest
from inferq.gateway.models import known
from inferq.gateway.predictions import require_rows
from inferq.gateway.problems import Fault, Kind, Problem, of_invalid, pointer, shown
from inferq.gateway.services import Services, services_of
from inferq.job import id_of
from inferq.options import check_options
from inferq_core.errors import InvalidInput
from inferq_core.ids import JobId, parse_job_id
from inferq_core.store.records import JobNow, KeyScope

router = APIRouter(prefix="/v1", tags=["predictions"])

Place: TypeAlias = tuple[str | int, ...]
Model = Annotated[str, Path(description="Name of the model.", examples=["iris"])]


@router.post(
    "/models/{model}/predictions:enqueue",
    summary="Enqueue many predictions",
    status_code=202,
    responses=responses(
        {202: {"model": Enqueued}},
        *WITH_BODY,
        Kind.UNKNOWN_MODEL,
        Kind.UNKNOWN_VERSION,
        Kind.KEY_REUSED,
        Kind.BACKLOG_FULL,
        Kind.FORBIDDEN,
    ),
    openapi_extra=body(EnqueueRequest) | {"parameters": [KEY, TRACE]},
)
async def enqueue(request: Request, model: Model) -> Response:
    """One prediction for each item: all are checked, and have room, before the first is stored."""
    services = services_of(request)
    caller = await services.caller(request, KeyScope.SUBMIT)
    asked = await read_form(request, EnqueueRequest, services.settings.max_body_bytes)
    for place, item in enumerate(asked.items):
        require_rows(item, "items", place)
    options = check_options(
        version=asked.version,
        method=asked.method,
        priority=asked.priority,
        deadline=asked.deadline_seconds,
        idempotency_key=caller.own_key(idempotency_key_of(request)),
        metadata=asked.metadata,
        traceparent=traceparent_of(request),
        owner=caller.key_id,
    )
    try:
        ids = await services.client.submit_items(caller.require_model(known(model)), asked.items, options)
    except InvalidInput as error:
        raise of_invalid(error, "items") from None
    return answer({"ids": ids}, 202)


@router.post(
    "/predictions:query",
    summary="Read those of many predictions that have ended, or wait for one to end",
    responses=responses({200: {"model": Ended}}, *WITH_BODY, Kind.UNKNOWN_PREDICTION),
    openapi_extra=body(IdsRequest) | {"parameters": [PREFER]},
)
async def query(request: Request) -> Response:
    """All that have ended; with `Prefer: wait=n`, when none has, as soon as one does, or after n seconds."""
    services = services_of(request)
    caller = await services.caller(request)
    asked = await read_form(request, IdsRequest, services.settings.max_body_bytes)
    wait = wait_of(request, services.settings.max_wait)
    found = await _visible(services, caller, asked.ids)
    if wait and all(now.result is None for now in found.values()):
        await services.waits.first(list(found), wait)
        found = await _visible(services, caller, asked.ids)
    ended = [documents.ended(now.result, Asked.of_view(now.view)) for now in found.values() if now.result is not None]
    return answer({"predictions": ended, "unfinished": len(found) - len(ended)})


@router.post(
    "/predictions:cancel",
    summary="Take many predictions back",
    responses=responses({200: {"model": Found}}, *WITH_BODY, Kind.UNKNOWN_PREDICTION, Kind.FORBIDDEN),
    openapi_extra=body(IdsRequest),
)
async def cancel(request: Request) -> Response:
    """Those that were queued or running are cancelled now, the others had ended and stay as they are."""
    services = services_of(request)
    caller = await services.caller(request)
    asked = await read_form(request, IdsRequest, services.settings.max_body_bytes)
    found = await _changeable(services, caller, asked.ids)
    return answer({"found": await services.client.cancel_many(list(found))})


@router.post(
    "/predictions:retry",
    summary="Run many predictions once more",
    status_code=202,
    responses=responses(
        {202: {"model": Enqueued}},
        *WITH_BODY,
        Kind.UNKNOWN_PREDICTION,
        Kind.UNKNOWN_MODEL,
        Kind.UNFINISHED,
        Kind.BACKLOG_FULL,
        Kind.FORBIDDEN,
    ),
    openapi_extra=body(IdsRequest),
)
async def retry(request: Request) -> Response:
    """A new prediction of the same inputs for each. One is retried once: asked again, this answers with the same."""
    services = services_of(request)
    caller = await services.caller(request)
    asked = await read_form(request, IdsRequest, services.settings.max_body_bytes)
    found = await _changeable(services, caller, asked.ids)
    new = dict(zip(found, await services.client.retry_many(list(found)), strict=True))
    return answer({"ids": [new[id_of(text)].id for text in asked.ids]}, 202)


@router.post(
    "/predictions:feedback",
    summary="Tell what was right, for many predictions",
    status_code=204,
    responses=responses({204: {"description": "It is kept, all of it."}}, *WITH_BODY, Kind.UNKNOWN_PREDICTION),
    openapi_extra=body(FeedbackManyRequest),
)
async def feedback(request: Request) -> Response:
    """The ground truth of many predictions; the last one of each counts."""
    services = services_of(request)
    caller = await services.caller(request, KeyScope.FEEDBACK)
    told = await read_form(request, FeedbackManyRequest, services.settings.max_body_bytes)
    for place, one in enumerate(told.feedback):
        require_writable(one.actual, "feedback", place, "actual")
    await _visible(services, caller, [one.id for one in told.feedback], lambda n: ("feedback", n, "id"))
    await services.client.feedback_many([(one.id, one.actual) for one in told.feedback])
    return Response(status_code=204)


async def _visible(
    services: Services, caller: Caller, ids: Sequence[str], place_of: Callable[[int], Place] = lambda n: ("ids", n)
) -> Mapping[JobId, JobNow]:
    """The jobs by id, each once, in order. Raises Problem for one that the caller may not see; `place_of` names it."""
    known_ids = [parse_job_id(text) for text in ids]
    asked = [job_id for job_id in dict.fromkeys(known_ids) if job_id is not None]
    found = await services.ask(lambda store: store.now_of(asked))
    for place, job_id in enumerate(known_ids):
        now = None if job_id is None else found.get(job_id)
        if now is None or not caller.sees(now.view):
            fault = Fault("no prediction has this id", pointer=pointer(*place_of(place)), got=shown(ids[place]))
            raise Problem(Kind.UNKNOWN_PREDICTION, "one of them was never accepted here, or was deleted", [fault])
    return {job_id: found[job_id] for job_id in asked}


async def _changeable(services: Services, caller: Caller, ids: Sequence[str]) -> Mapping[JobId, JobNow]:
    """`_visible` for a caller that may take them back, and run them again. Raises Problem."""
    found = await _visible(services, caller, ids)
    owns = all(caller.owns(now.view) for now in found.values())
    caller.require(KeyScope.SUBMIT if owns else KeyScope.ADMIN)
    return found
