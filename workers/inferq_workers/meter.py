"""What the main process learns for the autoscaler: what messages hold, how much waits and runs, what it would cost.

It sees no inputs and no database: rows come from the messages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferq_core.messages import JobMessage
from inferq_core.policy.autoscale import Goal, Work, seconds_of_work
from inferq_core.policy.cost import Mix
from inferq_workers.costs import Costs

# Models named in a decision, the largest backlogs first.
MAX_SHOWN = 5
DIGITS = 6


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a decision is based on. Rows by model; `queued_messages` is None while the broker does not answer."""

    queued_messages: int | None
    queued_rows: Mapping[str, int]
    buffered_rows: Mapping[str, int]
    running_rows: Mapping[str, int]

    def rows(self) -> dict[str, int]:
        total: dict[str, int] = defaultdict(int)
        for part in (self.queued_rows, self.buffered_rows, self.running_rows):
            for model, rows in part.items():
                total[model] += rows
        return dict(total)


class Meter:
    """Used in the event loop only."""

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self.costs = Costs()
        self._mix = Mix()
        self._batch_rows: dict[str, int] = {}

    def received(self, message: JobMessage) -> None:
        self._mix = self._mix.after(message.model, message.n_rows)
        self._batch_rows[message.model] = message.limits.max_batch_rows

    def backlog(
        self, queued_messages: int | None, buffered_rows: Mapping[str, int], running_rows: Mapping[str, int]
    ) -> Backlog:
        """Messages that nobody has received yet are taken to hold what the recent ones held."""
        rows = (queued_messages or 0) * self._mix.rows_per_message
        queued = {model: round(rows * share) for model, share in self._mix.shares().items()}
        return Backlog(queued_messages, {m: n for m, n in queued.items() if n}, buffered_rows, running_rows)

    def seconds(self, backlog: Backlog) -> float:
        """Seconds that one process would need for it."""
        work = [Work(model, rows, self._batch_rows.get(model, rows or 1)) for model, rows in backlog.rows().items()]
        return seconds_of_work(work, self.costs.of, self._goal)

    def inputs(self, backlog: Backlog) -> dict[str, Any]:
        """The backlog as it is kept with a decision."""
        rows = backlog.rows()
        shown = sorted(rows, key=lambda model: -rows[model])[:MAX_SHOWN]
        return {
            "queued_messages": backlog.queued_messages,
            "rows_per_message": round(self._mix.rows_per_message, 2),
            "queued_rows": sum(backlog.queued_rows.values()),
            "buffered_rows": sum(backlog.buffered_rows.values()),
            "running_rows": sum(backlog.running_rows.values()),
            "seconds_per_row": {model: self._seconds_per_row(model) for model in shown},
        }

    def _seconds_per_row(self, model: str) -> float | None:
        """In full batches; None while no batch has ended."""
        rows = self._batch_rows.get(model, 1)
        seconds = self.costs.of(model).seconds_for(rows, rows)
        return None if seconds is None else round(seconds / rows, DIGITS)
