"""What the store promises about webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from inferq_core.ids import JobId
from inferq_core.store.webhook_records import (
    Delivery,
    DeliveryPage,
    DeliveryState,
    NewWebhook,
    Settled,
    WebhookRecord,
)


class Webhooks(Protocol):
    """Who wants to be told, and with which secrets it is signed."""

    def add_webhook(self, webhook: NewWebhook, secret: str) -> WebhookRecord:
        """Durable. Raises UnknownModel, and InvalidInput when the model has as many as it may have."""

    def webhook(self, webhook_id: str) -> WebhookRecord:
        """Raises UnknownWebhook."""

    def webhooks(self, model: str | None = None) -> Sequence[WebhookRecord]:
        """Those of the model, or of all, the oldest first."""

    def remove_webhook(self, webhook_id: str) -> None:
        """It and its secret go; what was not delivered by then has failed. Raises UnknownWebhook."""

    def disable_webhook(self, webhook_id: str, reason: str) -> None:
        """It is told nothing from now on; what was not delivered by then has failed."""

    def enable_webhook(self, webhook_id: str) -> WebhookRecord:
        """It is told what ends from now on. Raises UnknownWebhook."""

    def follow_all(self, *, wanted: bool) -> None:
        """Whether every job that ends makes a row for the event stream."""

    def signing_secrets(self, name: str) -> Sequence[str]:
        """The secrets that sign now, the newest first; empty when there is none of that name."""

    def make_secret(self, name: str, secret: str) -> Sequence[str]:
        """The secrets of that name; `secret` where there was none."""

    def rotate_secret(self, name: str, secret: str, *, keep: float) -> None:
        """`secret` signs from now on, and the one before for `keep` seconds more."""


class Outbox(Protocol):
    """What is to be delivered, and what was."""

    def claim_deliveries(
        self, *, lease: float, busy: Mapping[str, int], per_host: int, limit: int
    ) -> Sequence[Delivery]:
        """Take due deliveries, at most `limit`; attempts + 1. For `lease` seconds nobody else does.

        Of each host so many that with those under way (`busy`) there are at most `per_host`; a different host is first
        each time, so that those with much do not keep those with little waiting.
        """

    def claim_events(self, *, lease: float, limit: int) -> Sequence[Delivery]:
        """The same for rows of the event stream, the oldest first."""

    def settle(self, settled: Sequence[Settled]) -> int:
        """Write what came of attempts; how many. Durable.

        One whose lease ran out, and that somebody else claimed since, stays as it is.
        """

    def drop_events(self, events: Sequence[Delivery]) -> None:
        """The rows of the event stream that were published."""

    def delivery(self, delivery_id: str) -> Delivery:
        """Raises UnknownDelivery."""

    def deliveries(
        self,
        *,
        job_id: JobId | None = None,
        webhook_id: str | None = None,
        state: DeliveryState | None = None,
        owner: str | None = None,
        with_jobs_only: bool = False,
        before: str | None = None,
        limit: int = 50,
    ) -> DeliveryPage:
        """The newest `limit` that match, the newest first, without those of the event stream.

        `owner`: only those of webhooks that came with that one's jobs; `with_jobs_only`: none of a model's webhooks.
        """

    def replay(self, delivery_id: str) -> Delivery:
        """It is due now, with the whole schedule before it, whatever became of it. Raises UnknownDelivery. Durable."""
