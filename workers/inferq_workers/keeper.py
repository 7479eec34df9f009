"""Periodic work: leases that ran out, deadlines that passed, jobs without a message, partitions to come.

Several keepers may run; a lease row elects the one that sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence

from inferq_core.broker import Publisher
from inferq_core.errors import BrokerUnavailable, UnknownModel
from inferq_core.logging import get_logger
from inferq_core.messages import Limits, group
from inferq_core.settings import Settings
from inferq_core.store.contract import Store
from inferq_core.store.records import LogEntry, PendingRef
from inferq_workers.pulse import WORKER_TIMEOUT

log = get_logger(__name__)

ROLE = "keeper"
# Batches, or overdue jobs, that one transaction of a sweep handles.
CHUNK = 500


class Keeper:
    def __init__(self, store: Store, publisher: Publisher, settings: Settings, name: str) -> None:
        self._store = store
        self._publisher = publisher
        self._settings = settings
        self._name = name

    def sweep(self) -> dict[str, int]:
        """One round; what was done. Does nothing while another keeper is elected."""
        if not self._store.elect(ROLE, self._name, lease=2 * self._settings.sweep_interval):
            return {}
        done = {
            "recovered": self._recover_expired(),
            "expired": self._expire_overdue(),
            "republished": self._republish_orphans(),
        }
        if any(done.values()):
            log.info("sweep", **done)
            self._store.append([LogEntry("info", "sweep", done, worker=self._name)])
        return done

    def prepare(self) -> None:
        """What changes slowly."""
        self._store.prepare_partitions()

    def _recover_expired(self) -> int:
        recovered = 0
        while True:
            refs = self._store.recover_expired(max_attempts=self._settings.max_attempts, limit=CHUNK)
            recovered += len(refs)
            self._publish(refs)
            if not refs:
                return recovered

    def _expire_overdue(self) -> int:
        expired = 0
        while count := self._store.expire_overdue(limit=CHUNK):
            expired += count
        return expired

    def _republish_orphans(self) -> int:
        republished = 0
        for queue in self._store.queues():
            try:
                depth = self._publisher.depth(queue)
            except BrokerUnavailable as error:
                log.warning("sweep_without_broker", reason=str(error))
                return republished
            orphans = self._store.take_orphans(
                queue=queue,
                after=self._settings.orphan_after,
                depth_is_zero=depth == 0,
                worker_timeout=WORKER_TIMEOUT,
            )
            republished += len(orphans)
            self._publish(orphans)
        return republished

    def _publish(self, refs: Sequence[PendingRef]) -> None:
        if not refs:
            return
        try:
            self._publisher.publish(group(refs, self._limits, self._store.store_id))
        except BrokerUnavailable as error:
            # They stay orphans and come up again in a later sweep.
            log.warning("republish_failed", jobs=len(refs), reason=str(error))

    def _limits(self, model: str) -> Limits:
        try:
            return Limits.of(self._store.model(model), self._settings)
        except UnknownModel:
            return Limits.of(None, self._settings)
