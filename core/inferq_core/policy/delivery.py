"""What becomes of a delivery after an attempt: pure, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

# Seconds that a receiver may ask to wait (Retry-After): longer than the longest pause of the schedule is no answer.
MAX_RETRY_AFTER = 86_400.0
# How far a pause may be from the schedule, as a share of it: receivers that come back are not hit by all at once.
JITTER = 0.1
_SUCCESS = range(200, 300)
_GONE = 410


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one try. `status` is None when there was no answer; `error` says why in a few words."""

    status: int | None = None
    error: str | None = None
    retry_after: float | None = None  # seconds
    is_final: bool = False  # to try again is of no use: the address is refused, there is nothing to tell


class Verdict(Enum):
    DELIVERED = auto()
    RETRY = auto()
    FAILED = auto()  # it is not tried again by itself
    GONE = auto()  # the receiver wants nothing more


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    pause: float = 0.0  # seconds until the next try


def judge(attempt: Attempt, attempts: int, schedule: Sequence[float], chance: float) -> Judgement:
    """`attempts`: how many there were with this one. `chance`: evenly from 0 to 1."""
    if attempt.status is not None and attempt.status in _SUCCESS:
        return Judgement(Verdict.DELIVERED)
    if attempt.status == _GONE:
        return Judgement(Verdict.GONE)
    if attempt.is_final or attempts > len(schedule):
        return Judgement(Verdict.FAILED)
    pause = schedule[attempts - 1] * (1 + JITTER * (2 * chance - 1))
    return Judgement(Verdict.RETRY, max(pause, min(attempt.retry_after or 0.0, MAX_RETRY_AFTER)))
