"""Periodic work: leases that ran out, deadlines that passed, jobs without a message, partitions to come, retention.

Several keepers may run; a lease row elects the one that sweeps.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from inferq_core.broker import Publisher
from inferq_core.errors import BrokerUnavailable, UnknownModel
from inferq_core.logging import get_logger
from inferq_core.messages import Limits, group
from inferq_core.settings import DAY, Settings
from inferq_core.store.contract import Store
from inferq_core.store.records import LogEntry, PendingRef
from inferq_workers.pulse import BEAT_INTERVAL, WORKER_TIMEOUT

log = get_logger(__name__)

ROLE = "keeper"
# Batches, or overdue jobs, that one transaction of a sweep handles.
CHUNK = 500
# Seconds of a sweep that a purge may take: a keeper does one thing at a time, and the other work comes first.
PURGE_SLICE_S = 1.0
# Seconds from the end of one purge to the beginning of the next.
PURGE_INTERVAL_S = 3600.0
# Seconds for which a queue must have been found empty: by then every worker has told what it took out of it.
SILENCE_S = 2 * BEAT_INTERVAL


class Keeper:
    def __init__(self, store: Store, publisher: Publisher, settings: Settings, name: str) -> None:
        self._store = store
        self._publisher = publisher
        self._settings = settings
        self._name = name
        self._purging: Iterator[Mapping[str, int]] | None = None
        self._purged: Counter[str] = Counter()
        self._next_purge = float("-inf")
        self._empty_since: dict[str, float] = {}

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
        self._purge_some()
        return done

    def prepare(self) -> None:
        """What changes slowly."""
        self._store.prepare_partitions()

    def _purge_some(self) -> None:
        """A slice of the purge under way, or the beginning of one that is due."""
        if self._settings.retention_days is None:
            return
        if self._purging is None:
            if time.monotonic() < self._next_purge:
                return
            self._purging = self._store.purge(before=self._store.now() - self._settings.retention_days * DAY)
            self._purged.clear()
        until = time.monotonic() + PURGE_SLICE_S
        # An error ends the purge, and the next sweep begins another.
        purging, self._purging = self._purging, None
        for step in purging:
            self._purged.update(step)
            if time.monotonic() >= until:
                self._purging = purging
                return
        self._next_purge = time.monotonic() + PURGE_INTERVAL_S
        if self._purged.total():
            rows = {table: n for table, n in self._purged.items() if n}
            log.info("purge", **rows)
            self._store.append([LogEntry("info", "purge", rows, worker=self._name)])

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
                depth_is_zero=self._is_silent(queue, depth, time.monotonic()),
                worker_timeout=WORKER_TIMEOUT,
            )
            republished += len(orphans)
            self._publish(orphans)
        return republished

    def _is_silent(self, queue: str, depth: int, now: float) -> bool:
        """Whether the queue was empty at each look for long enough."""
        if depth:
            self._empty_since.pop(queue, None)
            return False
        return now - self._empty_since.setdefault(queue, now) >= SILENCE_S

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
