"""When a worker is stuck: alive, with room for work, and given none while its queues have some. Pure policy.

It is a known fault of consumers after a reconnect. Whoever is idle next to a full queue is not slow, because an idle
consumer is served at once; only time tells it from a message that is just on its way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Verdict(StrEnum):
    WELL = "well"
    RECONNECT = "reconnect"  # a new connection may cure it
    END = "end"  # it did not: a new process may


@dataclass(frozen=True, slots=True)
class Look:
    """What a worker sees of itself; `at` in seconds of any steady clock."""

    at: float
    depth: int  # messages that wait in the queues it consumes from
    has_room: bool  # a free process, and nothing of its own to give it
    received: int  # messages since it started


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What is remembered from look to look."""

    received: int = 0  # messages at the last look
    since: float | None = None  # how long it has been idle next to waiting messages
    reconnected: bool = False  # once in this spell


def judge(suspicion: Suspicion, look: Look, patience: float) -> tuple[Verdict, Suspicion]:
    """The verdict, and what to remember; `patience`: seconds before each step."""
    if look.received != suspicion.received or look.depth == 0 or not look.has_room:
        return Verdict.WELL, Suspicion(look.received)
    if suspicion.since is None:
        return Verdict.WELL, replace(suspicion, since=look.at)
    if look.at - suspicion.since < patience:
        return Verdict.WELL, suspicion
    if suspicion.reconnected:
        return Verdict.END, suspicion
    return Verdict.RECONNECT, Suspicion(look.received, None, reconnected=True)
