"""Which buffered messages become the next batch: pure policy, no broker, no clock.

Messages wait per (queue, priority, model). The most urgent priority goes first; within it the models share the time of
the processes equally, by what their batches cost, and the oldest message decides between equals. A batch takes messages
of one kind in their order, up to the model's `max_batch_rows`, the rows that fit into its latency target, and the
smallest `group_limit` among them. A message that is larger than that by itself is a batch of its own. After an
interactive batch other work goes in smaller ones for a while: more interactive work is likely, and has to wait for one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from inferq_core.messages import JobMessage
from inferq_core.policy.cost import Cost
from inferq_core.states import Priority
from inferq_workers.turns import Turns

Handle = TypeVar("Handle")

# How much a message that is smaller than the recent ones counts; a larger one counts at once, for memory's sake.
SMOOTHING = 0.1
# Share of its latency target that a batch is planned for: half of all batches take longer than they do on average.
PLANNED = 0.8
# So many batches after an interactive one, other batches have this share of their rows.
BESIDE_INTERACTIVE = 32
SHARE_BESIDE_INTERACTIVE = 0.125
# Seconds that a batch of a model counts of which none has ended yet.
UNKNOWN_SECONDS = 1.0


class Kind(NamedTuple):
    """Messages of one kind may share a batch."""

    queue: str
    priority: Priority
    model: str


@dataclass(frozen=True, slots=True)
class Buffered(Generic[Handle]):
    """A message that waits; `handle` is whatever the caller needs to acknowledge it."""

    message: JobMessage
    handle: Handle
    order: int


@dataclass(frozen=True, slots=True)
class Batch(Generic[Handle]):
    """Messages that are predicted together; `charged` are the seconds that count as taken by it until it ends."""

    kind: Kind
    entries: Sequence[Buffered[Handle]]
    n_rows: int
    charged: float


class Buffer(Generic[Handle]):
    """The messages a worker has received and not yet started. `cost_of` tells what batches of a model cost."""

    def __init__(self, cost_of: Callable[[str], Cost]) -> None:
        self._cost_of = cost_of
        self._turns: dict[Priority, Turns[Kind]] = {priority: Turns() for priority in Priority}
        self._waiting: dict[Kind, deque[Buffered[Handle]]] = {}
        self._rows: dict[Kind, int] = {}  # counted: adding them up for every batch would cost more than the batch
        self._order = 0
        self._beside_interactive = 0  # batches that are still to be small
        self.rows = 0
        # Smoothed; None before the first message.
        self.recent_rows_per_message: float | None = None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, message: JobMessage, handle: Handle) -> None:
        self._order += 1
        kind = Kind(message.queue, message.priority, message.model)
        self._waiting.setdefault(kind, deque()).append(Buffered(message, handle, self._order))
        self._rows[kind] = self._rows.get(kind, 0) + message.n_rows
        self.rows += message.n_rows
        recent = self.recent_rows_per_message
        if recent is None or message.n_rows > recent:
            self.recent_rows_per_message = float(message.n_rows)
        else:
            self.recent_rows_per_message = recent + SMOOTHING * (message.n_rows - recent)

    def next_batch(self) -> Batch[Handle] | None:
        """Remove and return the messages of the next batch; None when nothing waits."""
        if not self._waiting:
            return None
        kind = min(self._waiting, key=self._place)
        waiting = self._waiting[kind]
        entries: list[Buffered[Handle]] = []
        cost = self._cost_of(kind.model)
        room = _Room(cost, self._share(kind.priority))
        while waiting and room.takes(waiting[0].message):
            entries.append(waiting.popleft())
        self._rows[kind] -= room.rows
        if not waiting:
            del self._waiting[kind], self._rows[kind]
        self.rows -= room.rows
        seconds = cost.seconds_for(room.rows, room.rows)
        batch = Batch(kind, entries, room.rows, UNKNOWN_SECONDS if seconds is None else seconds)
        self._turns[kind.priority].charge(kind, batch.charged)
        return batch

    def _share(self, priority: Priority) -> float:
        """Of its usual rows, for the next batch."""
        if priority is Priority.INTERACTIVE:
            self._beside_interactive = BESIDE_INTERACTIVE
        elif self._beside_interactive:
            self._beside_interactive -= 1
            return SHARE_BESIDE_INTERACTIVE
        return 1.0

    def ended(self, batch: Batch[Handle], seconds: float) -> None:
        """The batch took so long, whatever became of it."""
        self._turns[batch.kind.priority].correct(batch.kind, seconds - batch.charged)

    def _place(self, kind: Kind) -> tuple[Priority, float, int]:
        return kind.priority, self._turns[kind.priority].due(kind), self._waiting[kind][0].order

    def drain(self) -> Sequence[Buffered[Handle]]:
        """Remove and return everything, oldest first."""
        entries = sorted((entry for waiting in self._waiting.values() for entry in waiting), key=lambda e: e.order)
        self._waiting.clear()
        self._rows.clear()
        self.rows = 0
        return entries

    def rows_by_model(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        for kind, count in self._rows.items():
            rows[kind.model] = rows.get(kind.model, 0) + count
        return rows

    def rows_by_queue(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        for kind, count in self._rows.items():
            rows[kind.queue] = rows.get(kind.queue, 0) + count
        return rows

    def oldest(self) -> dict[tuple[str, int], float]:
        """By queue and priority: the `published_at` of what waits first, which is the oldest within a moment."""
        oldest: dict[tuple[str, int], float] = {}
        for kind, waiting in self._waiting.items():
            key = (kind.queue, int(kind.priority))
            first = waiting[0].message.published_at
            oldest[key] = min(first, oldest.get(key, first))
        return oldest


class _Room:
    """What may still join a batch of a model that costs so much, of which it gets this share of its rows."""

    def __init__(self, cost: Cost, share: float) -> None:
        self._cost = cost
        self._share = share
        self.rows = self._jobs = 0
        self._max_rows = self._max_jobs = math.inf
        self._target = math.inf

    def takes(self, message: JobMessage) -> bool:
        """Whether the message may join; it has joined then. The first one always may."""
        limits = message.limits
        rows, jobs = self.rows + message.n_rows, self._jobs + len(message.job_ids)
        max_rows = min(self._max_rows, limits.max_batch_rows * self._share)
        target = self._target
        if limits.latency_target is not None and limits.latency_target < target:
            target = limits.latency_target
            within = self._cost.rows_within(PLANNED * target, message.n_rows)
            max_rows = max_rows if within is None else min(max_rows, within)
        max_jobs = self._max_jobs if message.group_limit is None else min(self._max_jobs, message.group_limit)
        if self._jobs and (rows > max_rows or jobs > max_jobs):
            return False
        self.rows, self._jobs, self._max_rows, self._max_jobs, self._target = rows, jobs, max_rows, max_jobs, target
        return True
