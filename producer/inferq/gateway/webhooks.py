"""/v1/…/webhooks: who is told how predictions end, with which secret it is signed, and what became of it."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from inferq.gateway import webhook_documents as documents
from inferq.gateway.access import Caller
from inferq.gateway.bodies import read_form
from inferq.gateway.descriptions import WITH_BODY, body, header, responses
from inferq.gateway.documents import answer, parse_cursor
from inferq.gateway.models import Name, known
from inferq.gateway.problems import Kind
from inferq.gateway.schemas import EXAMPLE_ID, WebhookRequest
from inferq.gateway.services import Services, services_of
from inferq.gateway.webhook_documents import (
    EXAMPLE_WEBHOOK,
    DeliveryDocument,
    DeliveryList,
    DeliveryQuery,
    NewlyMade,
    SigningSecret,
    Webhook,
    WebhookList,
)
from inferq.options import is_text
from inferq_core.errors import UnknownDelivery, UnknownWebhook
from inferq_core.ids import parse_job_id
from inferq_core.receivers import parse_receiver
from inferq_core.signing import ROTATION_SECONDS, new_secret, secret_of_owner, secret_of_webhook
from inferq_core.states import State
from inferq_core.store.contract import Store
from inferq_core.store.records import KeyScope
from inferq_core.store.webhook_records import Delivery, DeliveryPage, DeliveryState, NewWebhook, WebhookRecord

router = APIRouter(prefix="/v1", tags=["webhooks"])

WebhookId = Annotated[str, Path(description="Id of the webhook.", examples=[EXAMPLE_WEBHOOK])]
DeliveryId = Annotated[str, Path(description="Id of the delivery.", examples=[EXAMPLE_ID])]

_MADE = header("Where the webhook is.", f"/v1/webhooks/{EXAMPLE_WEBHOOK}")


@router.post(
    "/models/{model}/webhooks",
    summary="Make a webhook of a model",
    status_code=201,
    responses=responses(
        {201: {"model": NewlyMade, "description": "It is made.", "headers": {"Location": _MADE}}},
        *WITH_BODY,
        Kind.UNKNOWN_MODEL,
        Kind.FORBIDDEN,
    ),
    openapi_extra=body(WebhookRequest),
)
async def create(request: Request, model: Name) -> Response:
    """It is told of all predictions of the model that end from now on. The secret is shown here, and never again."""
    services = services_of(request)
    caller = await services.caller(request, KeyScope.ADMIN)
    asked = await read_form(request, WebhookRequest, services.settings.max_body_bytes)
    caller.require_model(known(model))
    documents.checked_webhook(asked, services.settings)
    place = parse_receiver(asked.url, services.settings.webhook_networks).place
    states = None if asked.states is None else [State(state) for state in dict.fromkeys(asked.states)]
    wanted = NewWebhook(secrets.token_hex(6), model, asked.url, place, states)
    secret = new_secret()
    made = await services.ask(lambda store: store.add_webhook(wanted, secret))
    return answer(documents.webhook(made) | {"secret": secret}, 201, {"Location": f"/v1/webhooks/{made.id}"})


@router.get(
    "/models/{model}/webhooks",
    summary="List the webhooks of a model",
    responses=responses({200: {"model": WebhookList}}, Kind.UNKNOWN_MODEL, Kind.FORBIDDEN, Kind.INVALID_INPUT),
)
async def listing(request: Request, model: Name) -> Response:
    """The oldest first, without their secrets."""
    services = services_of(request)
    caller = await services.caller(request, KeyScope.ADMIN)
    caller.require_model(known(model))

    def look(store: Store) -> list[dict[str, Any]]:
        store.model(model)
        return [documents.webhook(record) for record in store.webhooks(model)]

    return answer({"webhooks": await services.ask(look)})


@router.get(
    "/webhooks/secret",
    summary="Read the own signing secret",
    responses=responses({200: {"model": SigningSecret}}, Kind.FORBIDDEN),
)
async def secret_of_caller(request: Request) -> Response:
    """What the webhooks that come with the caller's predictions are signed with. Each key has its own."""
    services = services_of(request)
    caller = await services.caller(request, KeyScope.SUBMIT)
    found = await services.ask(lambda store: store.make_secret(secret_of_owner(caller.key_id), new_secret()))
    return answer({"secret": found[0]})


@router.post(
    "/webhooks/secret/rotate",
    summary="Replace the own signing secret",
    responses=responses({200: {"model": SigningSecret}}, Kind.FORBIDDEN),
)
async def rotate_own(request: Request) -> Response:
    """The new one signs from now on; for a day the one before signs as well."""
    services = services_of(request)
    caller = await services.caller(request, KeyScope.SUBMIT)
    return answer({"secret": await _rotated(services, secret_of_owner(caller.key_id))})


@router.get(
    "/webhooks/deliveries",
    summary="List deliveries",
    responses=responses({200: {"model": DeliveryList}}, Kind.INVALID_INPUT),
)
async def deliveries(request: Request, query: Annotated[DeliveryQuery, Query()]) -> Response:
    """The newest first: those of the caller's predictions; with `read` those of others, with `admin` of models, too."""
    services = services_of(request)
    caller = await services.caller(request)
    prediction = None if query.prediction is None else parse_job_id(query.prediction)
    if query.prediction is not None and prediction is None:
        return answer(documents.page(DeliveryPage((), None), caller))
    find = partial(
        _newest,
        job_id=prediction,
        webhook_id=query.webhook,
        state=None if query.state is None else DeliveryState(query.state),
        owner=caller.own_only,
        with_jobs_only=not caller.has(KeyScope.ADMIN),
        before=None if query.cursor is None else parse_cursor(query.cursor),
        limit=query.limit,
    )
    return answer(documents.page(await services.ask(find), caller))


@router.get(
    "/webhooks/deliveries/{delivery_id}",
    summary="Read a delivery",
    responses=responses({200: {"model": DeliveryDocument}}, Kind.UNKNOWN_DELIVERY, Kind.INVALID_INPUT),
)
async def delivery(request: Request, delivery_id: DeliveryId) -> Response:
    """Where it is, how often it was tried, and what came of it."""
    services = services_of(request)
    caller = await services.caller(request)
    return answer(documents.delivery(await _visible(services, caller, delivery_id), caller))


@router.post(
    "/webhooks/deliveries/{delivery_id}/replay",
    summary="Send it once more",
    responses=responses({200: {"model": DeliveryDocument}}, Kind.UNKNOWN_DELIVERY, Kind.FORBIDDEN, Kind.INVALID_INPUT),
)
async def replay(request: Request, delivery_id: DeliveryId) -> Response:
    """At once, with the whole schedule before it, whatever became of it. The event keeps its id."""
    services = services_of(request)
    caller = await services.caller(request)
    found = await _visible(services, caller, delivery_id)
    caller.require(KeyScope.SUBMIT if documents.owns(caller, found) else KeyScope.ADMIN)
    return answer(documents.delivery(await services.ask(lambda store: store.replay(found.id)), caller))


@router.get(
    "/webhooks/{webhook_id}",
    summary="Read a webhook",
    responses=responses({200: {"model": Webhook}}, Kind.UNKNOWN_WEBHOOK, Kind.FORBIDDEN, Kind.INVALID_INPUT),
)
async def read(request: Request, webhook_id: WebhookId) -> Response:
    """Without its secret."""
    services = services_of(request)
    return answer(documents.webhook(await _administered(request, services, webhook_id)))


@router.delete(
    "/webhooks/{webhook_id}",
    summary="Delete a webhook",
    status_code=204,
    responses=responses(
        {204: {"description": "It is gone."}}, Kind.UNKNOWN_WEBHOOK, Kind.FORBIDDEN, Kind.INVALID_INPUT
    ),
)
async def remove(request: Request, webhook_id: WebhookId) -> Response:
    """What it was not told by now, it is not told."""
    services = services_of(request)
    found = await _administered(request, services, webhook_id)
    await services.ask(lambda store: store.remove_webhook(found.id))
    return Response(status_code=204)


@router.post(
    "/webhooks/{webhook_id}/enable",
    summary="Enable a webhook",
    responses=responses({200: {"model": Webhook}}, Kind.UNKNOWN_WEBHOOK, Kind.FORBIDDEN, Kind.INVALID_INPUT),
)
async def enable(request: Request, webhook_id: WebhookId) -> Response:
    """One whose receiver had answered with 410 is told again what ends from now on."""
    services = services_of(request)
    found = await _administered(request, services, webhook_id)
    return answer(documents.webhook(await services.ask(lambda store: store.enable_webhook(found.id))))


@router.post(
    "/webhooks/{webhook_id}/rotate",
    summary="Replace the secret of a webhook",
    responses=responses({200: {"model": NewlyMade}}, Kind.UNKNOWN_WEBHOOK, Kind.FORBIDDEN, Kind.INVALID_INPUT),
)
async def rotate(request: Request, webhook_id: WebhookId) -> Response:
    """The new one signs from now on; for a day the one before signs as well."""
    services = services_of(request)
    found = await _administered(request, services, webhook_id)
    return answer(documents.webhook(found) | {"secret": await _rotated(services, secret_of_webhook(found.id))})


async def _administered(request: Request, services: Services, webhook_id: str) -> WebhookRecord:
    """The webhook, for an administrator of its model. Raises Problem, UnknownWebhook."""
    caller = await services.caller(request, KeyScope.ADMIN)
    if not is_text(webhook_id):
        raise UnknownWebhook(webhook_id)
    found = await services.ask(lambda store: store.webhook(webhook_id))
    if not caller.may_ask(found.model):
        raise UnknownWebhook(webhook_id)
    return found


async def _visible(services: Services, caller: Caller, delivery_id: str) -> Delivery:
    """Raises UnknownDelivery for who may not see it, as for what does not exist."""
    found = await services.ask(lambda store: store.delivery(delivery_id))
    if not documents.sees(caller, found):
        raise UnknownDelivery(delivery_id)
    return found


async def _rotated(services: Services, name: str) -> str:
    secret = new_secret()
    await services.ask(lambda store: store.rotate_secret(name, secret, keep=ROTATION_SECONDS))
    return secret


def _newest(store: Store, **filters: Any) -> DeliveryPage:
    return store.deliveries(**filters)
