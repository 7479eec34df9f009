"""Celery's autoscaler, following the backlog instead of the number of reserved requests.

`inferq_core.policy.autoscale` decides; this adapter feeds it and changes the pool where that is safe. It runs in the
worker's event loop, on prefork only: the other pools cannot change their size.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict, deque
from typing import Any

from celery.concurrency.prefork import TaskPool
from celery.worker import state
from celery.worker.autoscale import Autoscaler

from inferq_core.broker import Publisher
from inferq_core.ids import new_batch_id
from inferq_core.logging import get_logger
from inferq_core.policy.autoscale import Bounds, Decision, Goal, History, decide, wanted_processes
from inferq_core.settings import Settings
from inferq_workers.board import Change
from inferq_workers.depth import DepthWatch
from inferq_workers.meter import Meter
from inferq_workers.request import BatchRequest

log = get_logger(__name__)

# Seconds between two decisions; Celery's own interval is 30 s.
TICK = 0.25
# Changes that the pool processes find on the board to write down; they look every two seconds.
KEPT_CHANGES = 16
EXIT_USAGE = 2


class BacklogAutoscaler(Autoscaler):
    """What `worker_autoscaler` names. A minimum of 0 means 1: without a process there is no heartbeat."""

    def __init__(self, pool: Any, max_concurrency: int, min_concurrency: int = 0, worker: Any = None, **_: Any) -> None:
        if not isinstance(pool, TaskPool) or not worker.use_eventloop:
            sys.stderr.write("inferq: --autoscale needs the prefork pool; leave out --pool, or --autoscale\n")
            raise SystemExit(EXIT_USAGE)
        super().__init__(pool, max_concurrency, max(min_concurrency, 1), worker=worker, keepalive=TICK)
        identity = worker.app.inferq
        settings: Settings = identity.settings
        self._goal = Goal(settings.target_wait, settings.scale_down_after)
        self._depth = DepthWatch(Publisher(settings.broker), identity.queues)
        self._history = History()
        self.meter = Meter(self._goal)
        self.changes: deque[Change] = deque(maxlen=KEPT_CHANGES)

    def maybe_scale(self, req: Any = None) -> None:  # noqa: ARG002 - Celery's shape
        """One tick: look, decide, change the pool by as much as is safe now."""
        batcher = self.worker.consumer.batcher
        if batcher.stopping:
            return
        now = time.monotonic()
        bounds = Bounds(self.min_concurrency, max(self.max_concurrency, self.min_concurrency))
        backlog = self.meter.backlog(self._depth.messages(), batcher.buffered_rows(), _running_rows())
        seconds = self.meter.seconds(backlog)
        wanted = wanted_processes(seconds, self._goal, bounds)
        if backlog.queued_messages is None:
            wanted = max(wanted, bounds.clamp(self.processes))  # an unknown depth is no reason to shrink
        self._history = self._history.after(now, wanted, self._goal.stable_window)
        decision = decide(self.processes, self._history, now, self._goal, bounds)
        after = self.processes if decision is None else self._follow(decision)
        self._count_slots()
        if decision is not None and after != decision.before:
            inputs = self.meter.inputs(backlog) | {
                "seconds_of_work": round(seconds, 3),
                "target_wait": self._goal.target_wait,
                "stable_window": self._goal.stable_window,
                "wanted": wanted,
                "minimum": bounds.minimum,
                "maximum": bounds.maximum,
            }
            self.changes.append(Change(str(new_batch_id()), decision.before, after, decision.reason, inputs, now))
            log.info("scaled", before=decision.before, after=after, reason=str(decision.reason), **inputs)
            batcher.post()

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:  # noqa: A002 - Celery's names
        """Change the bounds (`celery control autoscale`); the next ticks bring the processes there, safely."""
        if max is not None:
            self._update_consumer_prefetch_count(max)
            self.max_concurrency = max
        if min is not None:
            self.min_concurrency = min if min > 0 else 1
        return self.max_concurrency, self.min_concurrency

    def _follow(self, decision: Decision) -> int:
        """Change the pool; the number of processes it has now."""
        if decision.after > decision.before:
            self.pool.grow(decision.after - decision.before)
            self.pool.maintain_pool()
        else:
            self._end_idle(decision.before - decision.after)
        return int(self.processes)

    def _end_idle(self, count: int) -> None:
        """End at most `count` idle processes, or none while it cannot be told who is idle.

        `shrink` takes a process for idle whose job is written but not yet acknowledged, and picks a process that is
        ending already once more: only when all jobs have started and all processes are there is its choice right.
        """
        pool = self.pool._pool  # noqa: SLF001 - Celery offers no view of jobs and processes
        all_there = len(pool._pool) == pool._processes and not pool._waiting_to_start  # noqa: SLF001
        all_started = all(job.accepted() for job in pool._cache.values())  # noqa: SLF001
        waiting = pool.outbound_buffer or self.worker.consumer.batcher.buffered_rows()
        idle = pool._processes - len(pool._cache)  # noqa: SLF001
        if not all_there or not all_started or waiting or idle < 1:
            return
        self.pool.shrink(min(count, idle))
        for process in pool._pool:  # noqa: SLF001
            if process._controlled_termination:  # noqa: SLF001
                # It lives for another moment: no job may be written to it. The mark goes away with the process.
                pool._busy_workers.add(process.inqW_fd)  # noqa: SLF001

    def _count_slots(self) -> None:
        """Set the free slots to what they are.

        kombu's semaphore counts new slots twice when it grows, and Celery releases one more for every process that
        ended; batches would leave that no process can take yet.
        """
        self.worker.semaphore.value = max(self.processes - len(self.pool._pool._cache), 0)  # noqa: SLF001


def _running_rows() -> dict[str, int]:
    rows: dict[str, int] = defaultdict(int)
    for request in list(state.reserved_requests):
        if isinstance(request, BatchRequest) and request.batch is not None:
            rows[request.batch.kind.model] += request.batch.n_rows
    return dict(rows)
