"""How many requests a key may send: a token bucket, as a function of values.

A bucket holds `burst` tokens at the most and gets `per_second` new ones; each request takes one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from inferq_core.errors import InvalidInput

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_RATE = re.compile(r"([0-9]{1,9})/([smh])", re.ASCII)
# What an INTEGER of a database holds.
MAX_BURST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RateLimit:
    per_second: float
    burst: int

    @classmethod
    def parse(cls, rate: str, burst: int | None = None) -> RateLimit:
        """From `100/s`, `600/m` or `1000/h`; without `burst` as many at once as the rate names.

        Raises InvalidInput.
        """
        found = _RATE.fullmatch(rate)
        if found is None or int(found[1]) == 0:
            raise InvalidInput(f"rate {rate!r}: give a number of requests from 1 and s, m or h, such as 100/s or 600/m")
        if burst is not None and not 1 <= burst <= MAX_BURST:
            raise InvalidInput(f"burst {burst}: give a number of requests from 1 to {MAX_BURST}")
        count = int(found[1])
        return cls(count / _SECONDS[found[2]], burst or count)

    def __str__(self) -> str:
        """As `parse` reads it, in the shortest unit of which it is a whole number."""
        for unit, seconds in _SECONDS.items():
            count = round(self.per_second * seconds, 6)
            if count >= 1 and count.is_integer():
                return f"{count:.0f}/{unit}"
        return f"{self.per_second:g}/s"

    @property
    def window(self) -> int:
        """Seconds in which an empty bucket fills, rounded up."""
        return max(1, math.ceil(self.burst / self.per_second))


@dataclass(frozen=True, slots=True)
class Level:
    """A bucket after it was asked for a token."""

    allowed: bool
    tokens: float  # that are left

    def retry_after(self, limit: RateLimit) -> int:
        """Seconds until there is a token again, rounded up."""
        return max(1, math.ceil((1 - self.tokens) / limit.per_second))

    def full_after(self, limit: RateLimit) -> int:
        """Seconds until the bucket is full if nothing more is taken, rounded up."""
        return math.ceil((limit.burst - self.tokens) / limit.per_second)


def take(limit: RateLimit, tokens: float, elapsed: float) -> Level:
    """Take a token from a bucket that had `tokens` `elapsed` seconds ago."""
    there = min(limit.burst, tokens + max(0.0, elapsed) * limit.per_second)
    return Level(allowed=True, tokens=there - 1) if there >= 1 else Level(allowed=False, tokens=there)
