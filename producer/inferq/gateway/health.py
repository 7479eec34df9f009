"""/v1/health: whether the process lives, and whether it can take work."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from inferq.gateway.descriptions import responses
from inferq.gateway.documents import answer
from inferq.gateway.services import services_of

router = APIRouter(prefix="/v1/health", tags=["health"])


class Health(BaseModel):
    """How the gateway is."""

    status: str = Field(description="Always ok: otherwise the status code is another.", examples=["ok"])


@router.get("/live", summary="Is the process alive", responses=responses({200: {"model": Health}}))
async def live() -> Response:
    """It answers, whatever else is away."""
    return answer({"status": "ok"})


@router.get("/ready", summary="Can it take work", responses=responses({200: {"model": Health}}))
async def ready(request: Request) -> Response:
    """503 while the store does not answer, or the gateway is about to stop. A broker that is away delays jobs only."""
    services = services_of(request)
    services.require_open()
    await services.ask(lambda store: store.now())
    return answer({"status": "ok"})
