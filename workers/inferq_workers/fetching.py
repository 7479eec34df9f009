"""How many messages a worker may take from the broker: pure policy, no broker, no clock.

A worker holds enough for its next batches and little more, so that work stays where every worker can take it. What it
holds is bounded for the least urgent priority; each more urgent one may go beyond that by a reserve of its own, so that
it is fetched however much of the others is held.
"""

from __future__ import annotations

from inferq_core.states import Priority

# Rows that are buffered per pool process: enough for the next batches.
ROWS_PER_PROCESS = 1024
# What each priority may take beyond the next less urgent one, as a share of the bound.
RESERVE = 0.25
# Messages that are fetched at once before their size is known.
FIRST_FETCH = 16
_SHARES: dict[int, float] = {int(priority): 1 + RESERVE * (max(Priority) - priority) for priority in Priority}


def room(  # noqa: PLR0917 - asked for every message that comes, so it is kept cheap
    priority: int, rows: int, messages: int, rows_per_message: float | None, processes: int, credit: int
) -> int:
    """Messages of that priority that may be fetched, if they are as large as the recent ones.

    `rows` and `messages` are held and not started; `rows_per_message` is None before the first message. `credit` is
    how many messages are held at the most, without the reserves; 0 for any number.
    """
    share = _SHARES[priority]
    rows_left = share * ROWS_PER_PROCESS * max(processes, 1) - rows
    if rows_left <= 0:
        return 0
    left = FIRST_FETCH if rows_per_message is None else max(1, int(rows_left / rows_per_message))
    return max(0, min(left, int(share * credit) - messages)) if credit else left
