"""/v1/predictions/{id}/events: what becomes of a prediction, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from inferq.gateway.descriptions import TEXT, responses
from inferq.gateway.predictions import PredictionId, document
from inferq.gateway.problems import Kind, Problem
from inferq.gateway.services import Services, services_of
from inferq_core.errors import StoreError, UnknownJob
from inferq_core.states import State
from inferq_core.store.records import JobNow, StoredResult

router = APIRouter(prefix="/v1", tags=["predictions"])

# Seconds between two looks whether it runs: at first, and at most. Its end is told as soon as it is known.
LOOK_FIRST, LOOK_LAST = 0.05, 1.0
FOREVER = 10 * 365 * 86_400.0
# Seconds without an event after which a comment goes, so that nothing on the way takes the connection for dead.
SILENCE_SECONDS = 15.0
# Milliseconds after which whoever lost the connection comes again.
RETRY_MS = 2_000

_MARK = re.compile(rf"({'|'.join(State)})\.(\d{{1,9}})", re.ASCII)
_LAST = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "`id` of the last event that came: what happened since is told, and nothing twice.",
    "schema": TEXT,
    "example": "running.1",
}
# One event; tools that know server-sent events read the schema so.
_EVENT = {
    "type": "object",
    "properties": {
        "id": TEXT | {"description": "`STATE.ATTEMPTS`", "example": "running.1"},
        "event": TEXT | {"description": "Always `state`."},
        "data": TEXT | {"description": "The prediction as `GET` shows it, as JSON."},
        "retry": {"type": "integer", "description": "Milliseconds after which to connect anew."},
    },
}


@router.get(
    "/predictions/{prediction_id}/events",
    summary="Follow a prediction",
    response_class=StreamingResponse,
    responses=responses(
        {
            200: {
                "description": "An event `state` for where it is now and for each change: the prediction as `data`, "
                "and `STATE.ATTEMPTS` as `id`. Ends with the prediction.",
                "content": {"text/event-stream": {"schema": _EVENT}},
            },
            204: {"description": "It has ended, and `Last-Event-ID` is of its end: nothing more will come."},
        },
        Kind.UNKNOWN_PREDICTION,
        Kind.INVALID_INPUT,
    ),
    openapi_extra={"parameters": [_LAST]},
)
async def events(request: Request, prediction_id: PredictionId) -> Response:
    """Server-sent events, with comments while nothing happens.

    A browser's `EventSource` connects anew by itself, and stops when it has all. A gateway that stops ends the stream;
    another one goes on with it.
    """
    services = services_of(request)
    now = await services.visible(await services.caller(request), prediction_id)
    seen = _order(request.headers.get("last-event-id", ""))
    if now.result is not None and seen is not None and seen >= _order_of(now):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(services, request, now, seen), media_type="text/event-stream", headers=headers)


async def _stream(services: Services, request: Request, now: JobNow, seen: float | None) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    pause, spoke_at = LOOK_FIRST, time.monotonic()
    end: asyncio.Future[StoredResult | None] | None = None
    try:
        while True:
            for one in _changes(now, seen):
                yield await _event(services, one)
                seen, spoke_at, pause = _order_of(one), time.monotonic(), LOOK_FIRST
            if now.result is not None or services.stopping:
                return
            if time.monotonic() - spoke_at >= SILENCE_SECONDS:
                yield b": still there\n\n"
                spoke_at = time.monotonic()
            end = end or asyncio.ensure_future(services.waits.result(now.view.id, FOREVER))
            await asyncio.wait({end}, timeout=pause)
            try:
                if end.done():
                    end.result()
                now = await services.visible(await services.caller(request), now.view.id)
            except StoreError:  # it is away for a moment, which is no end
                end = None
                await asyncio.sleep(LOOK_LAST)
            except (UnknownJob, Problem):  # purged, or of a key that was revoked
                return
            pause = min(2 * pause, LOOK_LAST)
    finally:
        if end is not None:
            end.cancel()


def _changes(now: JobNow, seen: float | None) -> Iterator[JobNow]:
    """What happened since: that it ran, when that was too short to be seen, and where it is now."""
    if seen is not None and seen >= _order_of(now):
        return
    result = now.result
    if seen is not None and result is not None and result.claimed_at is not None:
        ran = JobNow(replace(now.view, state=State.RUNNING, attempts=result.attempt), None)
        if seen < _order_of(ran):
            yield ran
    yield now


async def _event(services: Services, now: JobNow) -> bytes:
    data = orjson.dumps(await document(services, now)).decode()
    return f"id: {_mark_of(now)}\nevent: state\ndata: {data}\n\n".encode()


def _mark_of(now: JobNow) -> str:
    return f"{now.view.state}.{now.view.attempts}"


def _order_of(now: JobNow) -> float:
    found = _order(_mark_of(now))
    assert found is not None
    return found


def _order(mark: str) -> float | None:
    """Where an event stands among those of its prediction; None when it is none.

    Queued, running for the first time, queued again, running for the second time, …, ended.
    """
    found = _MARK.fullmatch(mark)
    if found is None:
        return None
    state, attempts = State(found[1]), int(found[2])
    if state.terminal:
        return float("inf")
    return 2 * attempts - (1 if state is State.RUNNING else 0)
