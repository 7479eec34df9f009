"""When a job would end, and whether it may come in: pure policy, no store, no clock.

The work ahead of a job is what runs, and what waits in its queue with its priority or a more urgent one: a queue is
first in, first out within a priority. It is shared by all processes that serve the queue. What a batch costs is what
workers have learned; where something ahead was never measured, or nobody serves the queue, there is no estimate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inferq_core.states import Priority

# Batches that run have half of their time behind them, on average.
LEFT_OF_RUNNING = 0.5


@dataclass(frozen=True, slots=True)
class Rows:
    """Unfinished rows of one queue, priority and model."""

    queue: str
    priority: Priority
    model: str
    queued: int
    running: int


@dataclass(frozen=True, slots=True)
class Price:
    """What batches of a model cost, in seconds of one process."""

    per_batch: float
    per_row: float
    batch_rows: int  # of a full batch

    def seconds(self, rows: float) -> float:
        return math.ceil(rows / self.batch_rows) * self.per_batch + rows * self.per_row


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The load at one moment. `prices` by model; `processes` by queue: those that serve it."""

    rows: Sequence[Rows]
    prices: Mapping[str, Price]
    processes: Mapping[str, int]

    def backlog(self, model: str) -> int:
        """Rows of the model, queued and running."""
        return sum(part.queued + part.running for part in self.rows if part.model == model)

    def wait(self, queue: str, priority: Priority) -> float | None:
        """Seconds until a job that comes now would begin; None when that cannot be told."""
        processes = self.processes.get(queue, 0)
        total = 0.0
        for part in self.rows:
            ahead = LEFT_OF_RUNNING * part.running + (part.queued if part.priority <= priority else 0)
            if part.queue != queue or not ahead:
                continue
            price = self.prices.get(part.model)
            if price is None:
                return None
            total += price.seconds(ahead)
        return total / processes if processes else None


@dataclass(frozen=True, slots=True)
class Request:
    """What wants to come in: `rows` of one model, and the seconds within which it has to begin."""

    queue: str
    priority: Priority
    model: str
    rows: int
    max_backlog: int | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """`retry_after`: seconds until it would fit at the learned rate; None when that cannot be told, or never."""

    reason: str
    retry_after: float | None
    never_fits: bool = False


def eta(snapshot: Snapshot, request: Request) -> float | None:
    """Seconds until it would end if it came now; None when that cannot be told."""
    wait, price = snapshot.wait(request.queue, request.priority), snapshot.prices.get(request.model)
    return None if wait is None or price is None else wait + price.seconds(request.rows)


def judge(snapshot: Snapshot, request: Request) -> Refusal | None:
    """Why it may not come in; None when it may."""
    bound = request.max_backlog
    if bound is not None and request.rows > bound:
        return Refusal(
            f"{request.rows:,} rows are more than its max_backlog of {bound:,} and never fit: submit fewer",
            None,
            never_fits=True,
        )
    backlog = snapshot.backlog(request.model)
    if bound is not None and backlog + request.rows > bound:
        excess = backlog + request.rows - bound
        return Refusal(
            f"{backlog:,} rows wait or run, and {request.rows:,} more would exceed its max_backlog of {bound:,}",
            _drained(snapshot, request.model, excess / backlog),
        )
    wait = None if request.deadline is None else snapshot.wait(request.queue, request.priority)
    if wait is not None and request.deadline is not None and wait > request.deadline:
        return Refusal(
            f"it would begin in about {wait:.3g} s, after its deadline of {request.deadline:g} s",
            wait - request.deadline,
        )
    return None


def _drained(snapshot: Snapshot, model: str, share: float) -> float | None:
    """Seconds until that share of the model's backlog has ended, spread evenly over what is ahead of its last row."""
    parts = [part for part in snapshot.rows if part.model == model and part.queued + part.running]
    waits = [snapshot.wait(part.queue, part.priority) for part in parts]
    if any(wait is None for wait in waits):
        return None
    return share * max(wait for wait in waits if wait is not None)
