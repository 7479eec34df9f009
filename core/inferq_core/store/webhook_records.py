"""The values of webhooks: who wants to be told, with which secret it is signed, and what is to be delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from inferq_core.ids import JobId
from inferq_core.states import State

# The webhook that stands for the event stream: of all models, and shown to nobody.
STREAM = "stream"


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """A webhook of a model."""

    id: str
    model: str
    url: str
    states: tuple[State, ...] | None  # None: however a job ends
    created_at: float
    disabled_at: float | None  # it is told nothing from then on
    disabled_reason: str | None


@dataclass(frozen=True, slots=True)
class NewWebhook:
    id: str
    model: str
    url: str
    host: str  # see `receivers.Receiver.place`
    states: Sequence[State] | None


class DeliveryState(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"  # it is tried, or will be
    DELIVERED = "delivered"  # the receiver took it
    FAILED = "failed"  # it is not tried again unless somebody asks for it


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver."""

    id: str
    job_id: JobId
    model: str
    job_state: State  # how the job ended
    owner: str | None  # of the job, where the webhook came with it
    webhook_id: str | None  # None: it came with the job
    url: str = field(repr=False)
    host: str
    created_at: float
    due_at: float | None
    attempts: int
    attempted_at: float | None
    status: int | None  # of the last answer
    error: str | None  # of the last attempt
    ended_at: float | None
    state: DeliveryState

    @property
    def event_id(self) -> str:
        """The same for all receivers, and however often it is sent."""
        return f"{self.job_id}-{self.job_state}"


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Some deliveries, the newest first. `reached`: ask for those before it to go on; None when there are no more."""

    deliveries: Sequence[Delivery]
    reached: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of one attempt. Either `due_in` seconds it is tried again, or it has ended."""

    delivery: Delivery  # as it was claimed
    status: int | None = None
    error: str | None = None
    due_in: float | None = None
    delivered: bool = False
