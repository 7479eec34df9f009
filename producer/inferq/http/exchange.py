"""Requests, answers and pauses as values, and when a request is sent again.

What a client does is a *flow*: a generator that yields a Call and is sent an Answer or a Lost, or yields a Pause. It
touches no network and no event loop, so one body serves both clients, whose drivers perform what it asks for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from inferq.http.problems import About, Answer, error_of
from inferq_core.errors import GatewayUnavailable

# Seconds before a request is sent again: the first time, and what doubling ends at. Less by chance, so that many
# clients that lost one gateway do not come back together.
FIRST_PAUSE = 0.1
LAST_PAUSE = 5.0
# Answers of the gateway, or of a proxy before it, that say: later.
LATER = frozenset({408, 425, 429, 502, 503, 504})
# These say so, too, but the caller decides: what there is no room for may not be wanted any more.
DECIDED = frozenset({"backlog-full"})


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be sent again whatever became of it. `wait`: seconds that the gateway may take to answer."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer came."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


R = TypeVar("R")
Flow: TypeAlias = Generator[Call | Pause, Any, R]


def answered(call: Call, about: About, retry_for: float) -> Flow[Answer]:
    """The answer, of a status below 400. Raises what the gateway said was wrong; GatewayUnavailable."""
    until: float | None = None
    pause = FIRST_PAUSE
    while True:
        outcome: Answer | Lost = yield call
        if isinstance(outcome, Answer) and outcome.status < 400:  # noqa: PLR2004
            return outcome
        wanted = _pause_after(outcome, pause)
        until = time.monotonic() + retry_for if until is None else until
        if wanted is None or time.monotonic() + wanted > until:
            raise GatewayUnavailable(outcome.reason) if isinstance(outcome, Lost) else error_of(outcome, about)
        yield Pause(wanted)
        pause = min(2 * pause, LAST_PAUSE)


def _pause_after(outcome: Answer | Lost, pause: float) -> float | None:
    """Seconds to wait before the request is sent again; None when that would not help."""
    jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    if isinstance(outcome, Lost):
        return jittered
    if outcome.status not in LATER or outcome.slug in DECIDED:
        return None
    return max(jittered, outcome.retry_after or 0.0)
