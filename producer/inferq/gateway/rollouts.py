"""/v1/models/…/rollout: how a model's traffic is split over two versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from inferq.gateway.administration import administrator, changed
from inferq.gateway.bodies import read_form
from inferq.gateway.descriptions import WITH_BODY, body, responses
from inferq.gateway.documents import answer, moment
from inferq.gateway.models import Name, known, told
from inferq.gateway.problems import Kind
from inferq.gateway.schemas import EXAMPLE_TIME, ExistingVersion, Form, VersionReference
from inferq.gateway.services import services_of
from inferq_core.errors import UnknownRollout
from inferq_core.rollout import WHOLE, Rollout
from inferq_core.store.contract import Store

router = APIRouter(prefix="/v1/models/{model}/rollout", tags=["models"])


class RolloutVariant(BaseModel):
    """A version in a rollout."""

    role: Literal["primary", "canary"] = Field(description="What it is for.", examples=["canary"])
    version: int = Field(description="Its number.", examples=[4])
    weight: int = Field(description=f"How much of the traffic it gets, of {WHOLE} parts.", examples=[50])


class RolloutDetails(BaseModel):
    """How the predictions that name no version are split. The same `routing_key` meets the same variant."""

    model: str = Field(description="Name of the model.", examples=["iris"])
    variants: list[RolloutVariant] = Field(description=f"The primary, and the canary. Their weights make {WHOLE}.")
    changed_at: datetime = Field(description="When it was last changed (UTC).", examples=[EXAMPLE_TIME])


class RolloutRequest(Form):
    """The canary and how much it gets. Growing it takes nobody away from it who met it before."""

    canary: ExistingVersion = Field(description="Number or alias of the version that is tried.", examples=[4])
    weight: int = Field(
        ge=0, le=WHOLE, description=f"How much of the traffic the canary gets, of {WHOLE} parts.", examples=[50]
    )
    primary: VersionReference = Field(
        default=None,
        description="Number or alias of what gets the others; without it what it is, at first the champion.",
        examples=[3],
    )


_NONE = (Kind.INVALID_INPUT, Kind.UNKNOWN_MODEL, Kind.UNKNOWN_ROLLOUT)


@router.get("", summary="Read a rollout", responses=responses({200: {"model": RolloutDetails}}, *_NONE))
async def read_rollout(request: Request, model: Name) -> Response:
    """404 while the champion answers alone."""

    def look(store: Store) -> dict[str, Any]:
        store.model(known(model))
        found = store.rollout(model)
        if found is None:
            raise UnknownRollout(f"model {model!r} has no rollout: its champion answers")
        return _described(found)

    return await told(request, model, look)


@router.put(
    "",
    summary="Begin or change a rollout",
    responses=responses(
        {200: {"model": RolloutDetails}}, *WITH_BODY, Kind.UNKNOWN_MODEL, Kind.UNKNOWN_VERSION, Kind.FORBIDDEN
    ),
    openapi_extra=body(RolloutRequest),
)
async def put_rollout(request: Request, model: Name) -> Response:
    """Counts within a second or two, for what waits in the queue as well: variants are chosen when predictions run."""
    by = await administrator(request, model)
    asked = await read_form(request, RolloutRequest, services_of(request).settings.max_body_bytes)
    primary = None if asked.primary is None else str(asked.primary)

    def change(store: Store) -> Rollout:
        return store.put_rollout(model, str(asked.canary), asked.weight, primary=primary, by=by)

    return answer(_described(await changed(request, change)))


@router.delete(
    "",
    summary="End a rollout",
    status_code=204,
    responses=responses({204: {"description": "The champion answers alone."}}, *_NONE, Kind.FORBIDDEN),
)
async def end_rollout(request: Request, model: Name) -> Response:
    """All goes to the champion from now on, what waits in the queue as well."""
    by = await administrator(request, model)
    await changed(request, lambda store: store.end_rollout(model, by=by))
    return Response(status_code=204)


def _described(rollout: Rollout) -> dict[str, Any]:
    return {
        "model": rollout.model,
        "variants": [{"role": each.role, "version": each.version, "weight": each.weight} for each in rollout.variants],
        "changed_at": moment(rollout.changed_at),
    }
