"""How many processes a worker should have: pure policy, no broker, no clock.

wanted = seconds of work in the backlog ÷ seconds that it may wait, between the bounds. Up at once; down only to the
highest number that was wanted within a whole stable window, so that a pause between two bursts costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from inferq_core.errors import SettingsError
from inferq_core.policy.cost import Cost


class Reason(StrEnum):
    BACKLOG = "backlog"  # the backlog would wait longer than it may
    CALM = "calm"  # fewer processes were enough for a whole stable window
    BOUNDS = "bounds"  # there are fewer than the minimum or more than the maximum


@dataclass(frozen=True, slots=True)
class Bounds:
    minimum: int
    maximum: int

    @classmethod
    def parse(cls, text: str) -> Bounds:
        """From "MAX,MIN", as Celery writes it. Raises SettingsError."""
        try:
            maximum, minimum = map(int, text.split(","))
        except ValueError:
            maximum = minimum = 0
        if not 1 <= minimum <= maximum:
            raise SettingsError(f"--autoscale {text!r}: give MAX,MIN, whole numbers from 1, such as 8,1")
        return cls(minimum, maximum)

    def __str__(self) -> str:
        return f"{self.maximum},{self.minimum}"

    def clamp(self, processes: int) -> int:
        return max(self.minimum, min(processes, self.maximum))


@dataclass(frozen=True, slots=True)
class Goal:
    """Both in seconds."""

    target_wait: float  # that a backlog may take to be worked off
    stable_window: float  # for which fewer processes must be enough before some are ended


@dataclass(frozen=True, slots=True)
class Work:
    """Rows of one model that wait or run, and the batches they would make."""

    model: str
    rows: int
    batch_rows: int


@dataclass(frozen=True, slots=True)
class Decision:
    before: int
    after: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class History:
    """What was wanted, and since when: each number holds until the next one."""

    wanted: tuple[tuple[float, int], ...] = ()

    def after(self, now: float, wanted: int, window: float) -> History:
        """The history with what is wanted `now`, without what ended before the window."""
        runs = self.wanted if self.wanted and self.wanted[-1][1] == wanted else (*self.wanted, (now, wanted))
        ended = sum(until <= now - window for until, _ in runs[1:])
        return History(runs[ended:])

    def highest(self, now: float, window: float) -> int | None:
        """The highest number wanted in the last `window` seconds; None when less than a window is known."""
        if not self.wanted or self.wanted[0][0] > now - window:
            return None
        return max(processes for _, processes in self.wanted)


def seconds_of_work(work: Iterable[Work], cost_of: Callable[[str], Cost], goal: Goal) -> float:
    """Seconds that one process would need. A batch of a model never measured counts as one process's whole wait."""
    total = 0.0
    for part in work:
        seconds = cost_of(part.model).seconds_for(part.rows, part.batch_rows)
        total += math.ceil(part.rows / part.batch_rows) * goal.target_wait if seconds is None else seconds
    return total


def wanted_processes(seconds: float, goal: Goal, bounds: Bounds) -> int:
    # Rounding errors must not ask for one more.
    return bounds.clamp(math.ceil(round(seconds / goal.target_wait, 6)))


def decide(current: int, history: History, now: float, goal: Goal, bounds: Bounds) -> Decision | None:
    """What to change now, None to stay. `history` includes what is wanted now."""
    inside = bounds.clamp(current)
    if inside != current:
        return Decision(current, inside, Reason.BOUNDS)
    wanted = bounds.clamp(history.wanted[-1][1])
    if wanted > current:
        return Decision(current, wanted, Reason.BACKLOG)
    highest = history.highest(now, goal.stable_window)
    if highest is not None and bounds.clamp(highest) < current:
        return Decision(current, bounds.clamp(highest), Reason.CALM)
    return None
