"""How many messages a worker may take from the broker: pure policy, no broker, no clock.

A worker holds enough for its next batches and little more, so that work stays where every worker can take it. What it
holds is bounded for the least urgent priority; each more urgent one may go beyond that by a reserve of its own, so that
it is fetched however much of the others is held.
"""

from __future__ import annotations

from dataclasses import dataclass

from inferq_core.states import Priority

# Rows that are buffered per pool process: enough for the next batches.
ROWS_PER_PROCESS = 1024
# What each priority may take beyond the next less urgent one, as a share of the bound.
RESERVE = 0.25
# Messages that are fetched at once before their size is known.
FIRST_FETCH = 16
_LEAST_URGENT = max(Priority)


@dataclass(frozen=True, slots=True)
class Held:
    """What a worker has and has not started; `rows_per_message` is None before the first message."""

    rows: int
    messages: int
    rows_per_message: float | None


def room(priority: Priority, held: Held, *, processes: int, credit: int) -> int:
    """Messages of that priority that may be fetched, if they are as large as the recent ones.

    `credit`: messages that are held at the most, without the reserves; 0 for any number.
    """
    share = 1 + RESERVE * (_LEAST_URGENT - priority)
    rows = share * ROWS_PER_PROCESS * max(processes, 1) - held.rows
    if rows <= 0:
        return 0
    messages = FIRST_FETCH if held.rows_per_message is None else max(1, int(rows / held.rows_per_message))
    return max(0, min(messages, int(share * credit) - held.messages)) if credit else messages
