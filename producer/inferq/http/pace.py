"""How long to let the gateway wait, and how long to rest between two questions."""

from __future__ import annotations

import time

# Seconds that one request waits for a result at the most: less than what proxies bear.
LONG_POLL = 25
# Seconds between two questions that were answered at once: the first, and what doubling ends at.
FIRST_REST = 0.02
LAST_REST = 0.5


class Pace:
    """For one caller that waits at most `timeout` seconds (None: without end)."""

    def __init__(self, timeout: float | None) -> None:
        self._until = float("inf") if timeout is None else time.monotonic() + timeout
        self._asked_at = time.monotonic()
        self._rest = FIRST_REST

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def wait(self) -> int:
        """Seconds for `Prefer: wait` of the next question: whole ones, as RFC 7240 has them."""
        self._asked_at = time.monotonic()
        return int(max(min(self._until - self._asked_at, LONG_POLL), 0))

    def rest(self, waited: int) -> float:
        """Seconds until the next question, after one that could have waited for `waited` and found nothing."""
        now = time.monotonic()
        if waited and now - self._asked_at >= waited / 2:
            return 0.0
        rest, self._rest = self._rest, min(2 * self._rest, LAST_REST)
        return max(min(rest, self._until - now), 0.0)

    def hurry(self) -> None:
        """Something came: more may soon."""
        self._rest = FIRST_REST
