"""When a process that ended is started again, and how its end reads: pure, no clock and no process."""

from __future__ import annotations

import signal

# Seconds before the first restart. Each further one waits twice as long, up to the maximum.
FIRST_DELAY = 0.5
MAX_DELAY = 30.0
# Seconds after which a process counts as having worked, so that its next restart is a first one again.
STEADY_SECONDS = 60.0


def next_delay(previous: float | None, ran: float) -> float:
    """Seconds to wait before a process that ran for `ran` seconds starts again.

    `previous` is what its last restart waited, None when there was none.
    """
    if previous is None or ran >= STEADY_SECONDS:
        return FIRST_DELAY
    return min(2 * previous, MAX_DELAY)


def describe_end(exit_code: int) -> str:
    """`exit_code` as `subprocess` gives it: negative for a signal."""
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:  # real-time signals have no name
        return f"was ended by signal {-exit_code}"
