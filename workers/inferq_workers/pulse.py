"""The heartbeat of a pool process: renews the lease of the batch it runs, and reports the worker it belongs to.

A daemon thread of the pool process, so that long predictions need no long lease and a frozen process truly loses it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from inferq_core.ids import BatchId
from inferq_core.logging import get_logger
from inferq_core.store.contract import Store
from inferq_core.store.records import NewScalingDecision, WorkerBeat
from inferq_workers.board import Change, Notice
from inferq_workers.identity import Identity

log = get_logger(__name__)

# Seconds between two heartbeats of a worker, whichever of its processes writes them.
BEAT_INTERVAL = 2.0
# A worker without a heartbeat for this long is taken for gone.
WORKER_TIMEOUT = 5 * BEAT_INTERVAL
# A lease is renewed this often during its length, so that one or two slow renewals do not lose it.
RENEWALS_PER_LEASE = 4


class Pulse:
    """Start one per pool process, after the fork."""

    def __init__(self, store: Store, identity: Identity, on_lost: Callable[[BatchId], None]) -> None:
        self._store = store
        self._identity = identity
        self._on_lost = on_lost
        self._lease = identity.settings.lease
        self._stopping = threading.Event()
        self._held: BatchId | None = None
        self._recorded: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="inferq-pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=BEAT_INTERVAL)

    def hold(self, batch_id: BatchId | None) -> None:
        """The batch whose lease to renew from now on; None when there is none."""
        self._held = batch_id

    def _run(self) -> None:
        interval = min(self._lease / RENEWALS_PER_LEASE, BEAT_INTERVAL)
        while True:
            try:
                self._tick()
            except Exception as error:  # noqa: BLE001 - the thread must live: without it every lease is lost
                log.warning("heartbeat_failed", worker=self._identity.worker, reason=f"{type(error).__name__}: {error}")
            if self._stopping.wait(interval):
                return

    def _tick(self) -> None:
        held = self._held
        if held is not None and not self._store.renew(held, lease=self._lease) and self._held == held:
            self._held = None
            self._on_lost(held)
        notice = self._identity.board.read()
        if notice is None or not notice.worker:
            return
        if not notice.stopping:
            self._store.beat(worker_beat(notice, self._identity), min_interval=BEAT_INTERVAL)
        self.record_changes(notice)

    def record_changes(self, notice: Notice) -> None:
        """Write the scaling decisions on the board that this process has not written; others may write them too."""
        fresh = [change for change in notice.changes if change.id not in self._recorded]
        if fresh:
            self._store.record_scaling(scaling_decisions(fresh, self._identity.worker))
            self._recorded = {change.id for change in notice.changes}


def worker_beat(notice: Notice, identity: Identity) -> WorkerBeat:
    return WorkerBeat(
        name=identity.worker,
        host=identity.host,
        pid=notice.pid,
        queues=identity.queues,
        concurrency=notice.concurrency,
        marks=notice.marks,
        buffered=notice.buffered,
        oldest=notice.oldest,
        costs=notice.costs,
    )


def scaling_decisions(changes: Sequence[Change], worker: str) -> list[NewScalingDecision]:
    now = time.monotonic()
    return [
        NewScalingDecision(
            id=change.id,
            worker=worker,
            from_processes=change.before,
            to_processes=change.after,
            reason=change.reason,
            inputs=change.inputs,
            age=now - change.at,
        )
        for change in changes
    ]
