"""The gateway as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferq.gateway import (
    administration,
    events,
    health,
    inference,
    many,
    models,
    predictions,
    rollouts,
    uploads,
    webhooks,
)
from inferq.gateway.cross_origin import let_in
from inferq.gateway.descriptions import describe
from inferq.gateway.envelope import Envelope
from inferq.gateway.inference_schemas import InferRequest
from inferq.gateway.many_schemas import EnqueueRequest, FeedbackManyRequest, IdsRequest
from inferq.gateway.problems import Kind, Problem, of_error, of_validation
from inferq.gateway.schemas import FeedbackRequest, PredictionRequest, WebhookRequest
from inferq.gateway.services import Services
from inferq.gateway.traced import Traced
from inferq_core import tracing
from inferq_core.errors import InferqError
from inferq_core.settings import Settings
from inferq_core.store.contract import Store

DESCRIPTION = """Predictions through a queue: post rows to a model, get an id at once, ask for the answer with it later,
or wait for it in the same request (`Prefer: wait=5`).

What goes wrong is `application/problem+json` (RFC 9457) with a `type` that stays the same."""


FORMS = (
    PredictionRequest,
    FeedbackRequest,
    WebhookRequest,
    InferRequest,
    EnqueueRequest,
    IdsRequest,
    FeedbackManyRequest,
    *administration.FORMS,
    rollouts.RolloutRequest,
)


def create_app(settings: Settings, store: Store, *, keyless: bool = True) -> FastAPI:
    """The application on `store`, which whoever opened it closes. `keyless`: see `access.Keys`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = Services(settings, store, keyless=keyless)
        yield
        await app.state.services.close()

    app = FastAPI(
        title="inferq",
        version=metadata.version("inferq"),
        summary="Queue-driven predictions",
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url=None,  # its scripts come from somebody else's server
        redoc_url=None,
        redirect_slashes=False,
    )
    hot = predictions.router.prefix + predictions.ENQUEUE
    app.router.routes.insert(0, Route(hot, predictions.direct, methods=["POST"]))
    app.openapi = partial(describe, app, FORMS)  # type: ignore[method-assign]  # FastAPI's documented way
    parts = (predictions, many, events, uploads, models, administration, rollouts, webhooks, health, inference)
    for part in parts:
        app.include_router(part.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(InferqError, _inferq_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    if settings.allowed_origins:
        app.add_middleware(let_in, settings.allowed_origins)
    if tracing.is_on():
        app.add_middleware(Traced)
    app.add_middleware(Envelope)
    return app


def _answer(request: Request, problem: Problem) -> Response:
    return problem.response(request.url.path, request.state.request_id)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(request, error)


async def _inferq_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, InferqError)
    return _answer(request, of_error(error))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, of_validation(error.errors()))


async def _http_error(request: Request, error: Exception) -> Response:
    """What routing raises: no such path, or another method."""
    assert isinstance(error, HTTPException)
    if error.status_code == Kind.METHOD_NOT_ALLOWED.status:
        headers = dict(error.headers or {})
        allowed = _allowed(request) or headers.get("Allow", headers.get("allow", ""))
        detail = f"{request.method} is not for this path; it knows {allowed}"
        return _answer(request, Problem(Kind.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed}))
    detail = f"nothing is at {request.url.path[:200]!r}: /openapi.json describes what there is"
    return _answer(request, Problem(Kind.NOT_FOUND, detail))


def _allowed(request: Request) -> str:
    """The methods of all routes at the path: routing knows the first of them only."""
    described = request.app.openapi()["paths"].get(getattr(request.scope.get("route"), "path_format", None), {})
    return ", ".join(sorted(method.upper() for method in described))
