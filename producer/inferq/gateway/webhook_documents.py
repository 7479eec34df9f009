"""Webhooks and deliveries, as they are asked for and as they are written."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from inferq.gateway.access import Caller
from inferq.gateway.documents import cursor_of, moment
from inferq.gateway.problems import Fault, Kind, Problem, pointer
from inferq.gateway.schemas import EXAMPLE_ID, EXAMPLE_TIME, EndName, WebhookRequest
from inferq_core.errors import InvalidInput
from inferq_core.ids import JobId
from inferq_core.receivers import parse_receiver
from inferq_core.settings import Settings
from inferq_core.store.records import KeyScope
from inferq_core.store.webhook_records import Delivery, DeliveryPage, WebhookRecord

EXAMPLE_WEBHOOK = "4f1c09d2ab37"
EXAMPLE_SECRET = "whsec_…"  # noqa: S105 - none


class Webhook(BaseModel):
    """A webhook of a model: it is told of every prediction of it that ends."""

    id: str = Field(description="Its id.", examples=[EXAMPLE_WEBHOOK])
    model: str = Field(description="Name of the model.", examples=["iris"])
    url: str = Field(description="Where events are posted to.", examples=["https://example.com/inferq"])
    states: list[EndName] | None = Field(
        description="Only when a prediction ends like this; null: however.", examples=[["failed"]]
    )
    created_at: datetime = Field(description="When it was made (UTC).", examples=[EXAMPLE_TIME])
    disabled_at: datetime | None = Field(description="It is told nothing since then (UTC).", examples=[EXAMPLE_TIME])
    disabled_reason: str | None = Field(description="Why.", examples=["the receiver answered with 410"])


class NewlyMade(Webhook):
    """A webhook with its secret, which is shown when it is made and when it is rotated."""

    secret: str = Field(description="What its events are signed with.", examples=[EXAMPLE_SECRET])


class WebhookList(BaseModel):
    """The webhooks of a model."""

    webhooks: list[Webhook] = Field(description="The oldest first.")


class SigningSecret(BaseModel):
    """What the webhooks of the caller's own predictions are signed with."""

    secret: str = Field(description="The secret, as Standard Webhooks writes it.", examples=[EXAMPLE_SECRET])


class DeliveryDocument(BaseModel):
    """One event for one receiver."""

    id: str = Field(description="Its id.", examples=[EXAMPLE_ID])
    event_id: str = Field(description="`webhook-id`, the same however often it is sent.")
    event_type: str = Field(description="`type` of the event.", examples=["inferq.prediction.succeeded"])
    prediction_id: str = Field(description="The prediction that ended.", examples=[EXAMPLE_ID])
    model: str = Field(description="Its model.", examples=["iris"])
    webhook_id: str | None = Field(
        description="The webhook of the model; null: it came with the prediction.", examples=[EXAMPLE_WEBHOOK]
    )
    url: str | None = Field(description="Where it goes; null when that is for others to know.")
    state: Literal["pending", "delivered", "failed"] = Field(description="Where it is.", examples=["pending"])
    attempts: int = Field(description="How often it was tried.", examples=[2])
    status: int | None = Field(description="The last answer; null when there was none.", examples=[503])
    error: str | None = Field(description="What went wrong last.", examples=["it answered with 503"])
    created_at: datetime = Field(description="When the prediction ended (UTC).", examples=[EXAMPLE_TIME])
    attempted_at: datetime | None = Field(description="When it was tried last (UTC).", examples=[EXAMPLE_TIME])
    next_attempt_at: datetime | None = Field(description="When it is tried next (UTC).", examples=[EXAMPLE_TIME])
    ended_at: datetime | None = Field(description="When it was delivered, or given up (UTC).", examples=[EXAMPLE_TIME])


class DeliveryList(BaseModel):
    """Some deliveries, the newest first."""

    deliveries: list[DeliveryDocument] = Field(description="Those that match.")
    next_cursor: str | None = Field(
        description="Give it as `cursor` to go on; null when there are no more.", examples=["AZd9XGo_fB6dCj8fTGsqEA"]
    )


class DeliveryQuery(BaseModel):
    """What to list."""

    model_config = ConfigDict(extra="forbid")

    prediction: str | None = Field(
        default=None, max_length=100, description="Only of this prediction.", examples=[EXAMPLE_ID]
    )
    webhook: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{12}$",
        description="Only of this webhook of a model.",
        examples=[EXAMPLE_WEBHOOK],
    )
    state: Literal["pending", "delivered", "failed"] | None = Field(
        default=None, description="Only in this state.", examples=["failed"]
    )
    cursor: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{21}[AQgw]$",
        description="`next_cursor` of the page before.",
        examples=["AZd9XGo_fB6dCj8fTGsqEA"],
    )
    limit: int = Field(default=50, ge=1, le=200, description="How many at the most.", examples=[50])


def checked_webhook(asked: WebhookRequest | None, settings: Settings, *place: str) -> dict[str, Any] | None:
    """The webhook as the client takes it. Raises Problem for where it may not go."""
    if asked is None:
        return None
    try:
        parse_receiver(asked.url, settings.webhook_networks)
    except InvalidInput as error:
        fault = Fault(str(error), pointer=pointer(*place, "url"), expected=error.expected)
        raise Problem(Kind.INVALID_INPUT, fault.detail, [fault]) from None
    return {"url": asked.url, "states": asked.states}


def webhook(record: WebhookRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "model": record.model,
        "url": record.url,
        "states": record.states,
        "created_at": moment(record.created_at),
        "disabled_at": moment(record.disabled_at),
        "disabled_reason": record.disabled_reason,
    }


def delivery(one: Delivery, caller: Caller) -> dict[str, Any]:
    """A URL may be as good as a password: it is shown to whoever gave it, and to administrators."""
    return {
        "id": one.id,
        "event_id": one.event_id,
        "event_type": f"inferq.prediction.{one.job_state}",
        "prediction_id": one.job_id,
        "model": one.model,
        "webhook_id": one.webhook_id,
        "url": one.url if owns(caller, one) or caller.has(KeyScope.ADMIN) else None,
        "state": one.state,
        "attempts": one.attempts,
        "status": one.status,
        "error": one.error,
        "created_at": moment(one.created_at),
        "attempted_at": moment(one.attempted_at),
        "next_attempt_at": moment(one.due_at),
        "ended_at": moment(one.ended_at),
    }


def page(found: DeliveryPage, caller: Caller) -> dict[str, Any]:
    return {
        "deliveries": [delivery(one, caller) for one in found.deliveries if caller.may_ask(one.model)],
        "next_cursor": None if found.reached is None else cursor_of(JobId(found.reached)),
    }


def owns(caller: Caller, one: Delivery) -> bool:
    return caller.key_id is None or (one.webhook_id is None and one.owner == caller.key_id)


def sees(caller: Caller, one: Delivery) -> bool:
    """As with predictions; those of a model's webhooks are for administrators."""
    if not caller.may_ask(one.model):
        return False
    return owns(caller, one) or caller.has(KeyScope.READ if one.webhook_id is None else KeyScope.ADMIN)
