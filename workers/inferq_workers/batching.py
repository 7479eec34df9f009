"""Which buffered messages become the next batch: pure policy, no broker, no clock.

Messages wait per (queue, priority, model). The most urgent priority goes first, within it the oldest message; a batch
takes messages of one kind in their order, up to the model's `max_batch_rows` and the smallest `group_limit` among them.
A message that is larger than the limit by itself (one job of many rows) is a batch of its own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from inferq_core.messages import JobMessage
from inferq_core.states import Priority

Handle = TypeVar("Handle")

# How much a message that is smaller than the recent ones counts; a larger one counts at once, for memory's sake.
SMOOTHING = 0.1


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


class Buffer(Generic[Handle]):
    """The messages a worker has received and not yet started."""

    def __init__(self) -> None:
        self._waiting: dict[Kind, deque[Buffered[Handle]]] = {}
        self._order = 0
        self.rows = 0
        # Smoothed; None before the first message.
        self.recent_rows_per_message: float | None = None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, message: JobMessage, handle: Handle) -> None:
        self._order += 1
        kind = Kind(message.queue, message.priority, message.model)
        self._waiting.setdefault(kind, deque()).append(Buffered(message, handle, self._order))
        self.rows += message.n_rows
        recent = self.recent_rows_per_message
        if recent is None or message.n_rows > recent:
            self.recent_rows_per_message = float(message.n_rows)
        else:
            self.recent_rows_per_message = recent + SMOOTHING * (message.n_rows - recent)

    def next_batch(self) -> Sequence[Buffered[Handle]]:
        """Remove and return the messages of the next batch; empty when nothing waits."""
        if not self._waiting:
            return []
        kind = min(self._waiting, key=lambda kind: (kind.priority, self._waiting[kind][0].order))
        waiting = self._waiting[kind]
        batch: list[Buffered[Handle]] = []
        room = _Room()
        while waiting and room.takes(waiting[0].message):
            batch.append(waiting.popleft())
        if not waiting:
            del self._waiting[kind]
        self.rows -= sum(entry.message.n_rows for entry in batch)
        return batch

    def drain(self) -> Sequence[Buffered[Handle]]:
        """Remove and return everything, oldest first."""
        entries = sorted((entry for waiting in self._waiting.values() for entry in waiting), key=lambda e: e.order)
        self._waiting.clear()
        self.rows = 0
        return entries

    def rows_by_model(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        for kind, waiting in self._waiting.items():
            rows[kind.model] = rows.get(kind.model, 0) + sum(entry.message.n_rows for entry in waiting)
        return rows

    def rows_by_queue(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        for kind, waiting in self._waiting.items():
            rows[kind.queue] = rows.get(kind.queue, 0) + sum(entry.message.n_rows for entry in waiting)
        return rows

    def oldest(self) -> dict[tuple[str, int], float]:
        """By queue and priority: the oldest `published_at` of what waits."""
        oldest: dict[tuple[str, int], float] = {}
        for kind, waiting in self._waiting.items():
            key = (kind.queue, int(kind.priority))
            mine = min(entry.message.published_at for entry in waiting)
            oldest[key] = min(mine, oldest.get(key, mine))
        return oldest


class _Room:
    """What may still join a batch."""

    def __init__(self) -> None:
        self._rows = self._jobs = 0
        self._max_rows = self._max_jobs = math.inf

    def takes(self, message: JobMessage) -> bool:
        """Whether the message may join; it has joined then. The first one always may."""
        rows, jobs = self._rows + message.n_rows, self._jobs + len(message.job_ids)
        max_rows = min(self._max_rows, message.limits.max_batch_rows)
        max_jobs = self._max_jobs if message.group_limit is None else min(self._max_jobs, message.group_limit)
        if self._jobs and (rows > max_rows or jobs > max_jobs):
            return False
        self._rows, self._jobs, self._max_rows, self._max_jobs = rows, jobs, max_rows, max_jobs
        return True
