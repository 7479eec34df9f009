"""/v1/models: what keys with the scope `admin` may change: settings and aliases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from inferq.gateway.bodies import read_form
from inferq.gateway.descriptions import WITH_BODY, body, responses
from inferq.gateway.documents import answer
from inferq.gateway.models import Name, described, known
from inferq.gateway.problems import Kind, Problem
from inferq.gateway.registry import AliasMoved, AliasRequest, Model, SettingsRequest
from inferq.gateway.services import services_of
from inferq_core.errors import StoreForbidden
from inferq_core.store.contract import Store
from inferq_core.store.records import KeyScope, ModelSetting

router = APIRouter(prefix="/v1/models", tags=["models"])

Alias = Annotated[
    str,
    Path(description="The alias.", pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$", max_length=64, examples=["challenger"]),
]
# The setting behind each field of the request.
_SETTINGS = {
    "queue": ModelSetting.QUEUE,
    "max_batch_rows": ModelSetting.MAX_BATCH_ROWS,
    "time_limit_seconds": ModelSetting.TIME_LIMIT,
    "latency_target_seconds": ModelSetting.LATENCY_TARGET,
    "max_backlog": ModelSetting.MAX_BACKLOG,
}

Done = TypeVar("Done")


@router.patch(
    "/{model}",
    summary="Change a model's settings",
    responses=responses({200: {"model": Model}}, *WITH_BODY, Kind.UNKNOWN_MODEL, Kind.FORBIDDEN),
    openapi_extra=body(SettingsRequest),
)
async def change_settings(request: Request, model: Name) -> Response:
    """Sets those that are given, null for the default. They count for what is enqueued from a second later on."""
    by = await administrator(request, model)
    asked = await read_form(request, SettingsRequest, services_of(request).settings.max_body_bytes)
    changes = {_SETTINGS[field]: getattr(asked, field) for field in asked.model_fields_set}
    record = await changed(request, lambda store: store.change_settings(model, changes, by=by))
    return answer(described(record))


@router.put(
    "/{model}/aliases/{alias}",
    summary="Point an alias to a version",
    responses=responses(
        {200: {"model": AliasMoved}}, *WITH_BODY, Kind.UNKNOWN_MODEL, Kind.UNKNOWN_VERSION, Kind.FORBIDDEN
    ),
    openapi_extra=body(AliasRequest),
)
async def point_alias(request: Request, model: Name, alias: Alias) -> Response:
    """Makes it or moves it. What waits in the queue follows it: versions are chosen when predictions run."""
    by = await administrator(request, model)
    asked = await read_form(request, AliasRequest, services_of(request).settings.max_body_bytes)
    change = await changed(request, lambda store: store.point_alias(model, alias, str(asked.version), by=by))
    return answer({"model": model, "alias": alias, "version": change.after, "previous_version": change.before})


@router.delete(
    "/{model}/aliases/{alias}",
    summary="Take an alias away",
    status_code=204,
    responses=responses(
        {204: {"description": "It is gone."}},
        Kind.INVALID_INPUT,
        Kind.UNKNOWN_MODEL,
        Kind.UNKNOWN_VERSION,
        Kind.FORBIDDEN,
    ),
)
async def drop_alias(request: Request, model: Name, alias: Alias) -> Response:
    """Predictions cannot name it any more. `champion` stays: point it to another version instead."""
    by = await administrator(request, model)
    await changed(request, lambda store: store.drop_alias(model, alias, by=by))
    return Response(status_code=204)


async def administrator(request: Request, model: str) -> str:
    """Who changes the model, for the log. Raises Problem, UnknownModel."""
    caller = await services_of(request).caller(request)
    caller.require_key(KeyScope.ADMIN)
    caller.require_model(known(model))
    return f"key {caller.key_id}"


async def changed(request: Request, change: Callable[[Store], Done]) -> Done:
    """What the change gives. Raises Problem where the gateway's own role in the database may not make it."""
    try:
        return await services_of(request).ask(change)
    except StoreForbidden:
        detail = "this gateway's role in the database may not change models: ask one that may, or use `inferq models`"
        raise Problem(Kind.FORBIDDEN, detail) from None


FORMS: tuple[Any, ...] = (AliasRequest, SettingsRequest)
