"""Where jobs enter: durable in the store first, then announced to the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from inferq_core import tracing
from inferq_core.broker import KEEPER_PUBLISHES
from inferq_core.errors import BrokerUnavailable
from inferq_core.ids import JobId
from inferq_core.logging import get_logger
from inferq_core.messages import JobMessage, Limits, group
from inferq_core.store.contract import Store
from inferq_core.store.records import Accepted, NewJob, PendingRef

log = get_logger(__name__)

# Seconds for which a broker that did not answer is left alone: finding out takes seconds, which no submit should wait
# for over and over. What is accepted meanwhile is published by the keeper.
BROKER_PAUSE = 5.0


class Doorbell(Protocol):
    """Tells the workers that jobs are there. A broker, mostly."""

    def publish(self, messages: Sequence[JobMessage]) -> None:
        """Raises BrokerUnavailable; the jobs are safe then."""

    def close(self) -> None: ...


class Intake:
    """Accepts jobs and publishes the messages that stand for them.

    `stored` is told which jobs a call has stored, before they are published.
    """

    def __init__(
        self,
        store: Store,
        publisher: Doorbell,
        limits_of: Callable[[str], Limits],
        stored: Callable[[Sequence[PendingRef]], None] | None = None,
    ) -> None:
        self._stored = stored
        self._store = store
        self._publisher = publisher
        self._limits_of = limits_of
        self._paused_until = float("-inf")

    def accept(
        self, jobs: Sequence[NewJob], into: Callable[[Sequence[NewJob]], Accepted] | None = None
    ) -> Sequence[JobId]:
        """The ids that answer `jobs`, in order; all are durable on return. `into`: how the store takes them.

        Raises IdempotencyConflict and StoreUnavailable, and nothing was accepted then. A broker that is away is logged
        only: the jobs are safe, and the keeper publishes them as soon as it can.
        """
        traces = (job.traceparent for job in jobs)
        with tracing.span("inferq.accept", traces, kind=tracing.Kind.PRODUCER, jobs=len(jobs)):
            return self._accept(jobs, into or self._store.accept)

    def _accept(self, jobs: Sequence[NewJob], into: Callable[[Sequence[NewJob]], Accepted]) -> Sequence[JobId]:
        accepted = into(jobs)
        fresh = fresh_refs(jobs, accepted)
        if self._stored is not None:
            self._stored(fresh)
        if fresh and time.monotonic() >= self._paused_until:
            self._publish(fresh)
        return accepted.ids

    def _publish(self, refs: Sequence[PendingRef]) -> None:
        try:
            self._publisher.publish(group(refs, self._limits_of, self._store.store_id))
        except BrokerUnavailable as error:
            self._paused_until = time.monotonic() + BROKER_PAUSE
            log.warning("publish_failed", jobs=len(refs), reason=str(error), consequence=KEEPER_PUBLISHES)


def fresh_refs(jobs: Sequence[NewJob], accepted: Accepted) -> list[PendingRef]:
    """Those of `jobs` that were inserted now, as the broker needs them."""
    return [
        PendingRef(
            id=job.id,
            model=job.model,
            queue=job.queue,
            priority=job.priority,
            n_rows=job.n_rows,
            group_limit=None,
            published_at=accepted.published_at,
            traceparent=job.traceparent,
        )
        for job in jobs
        if job.id in accepted.fresh
    ]
