"""Whose turn it is: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), pure, no clock.

Everyone who is served is due again when the others have been served as much. What somebody did not ask for is not kept
for later: who comes back is due now, with those that are due first.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")

# How many are remembered before those that are due anyway are forgotten.
MAX_REMEMBERED = 1000


class Turns(Generic[Key]):
    """Due times count seconds of service, not time."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: dict[Key, float] = {}

    def due(self, key: Key) -> float:
        """When it is due; the smallest is next."""
        return max(self._due.get(key, 0.0), self._now)

    def charge(self, key: Key, seconds: float) -> None:
        """It is served now, for so long."""
        self._now = self.due(key)
        self._due[key] = self._now + seconds
        if len(self._due) > MAX_REMEMBERED:
            self._due = {one: due for one, due in self._due.items() if due > self._now}

    def correct(self, key: Key, seconds: float) -> None:
        """It was charged for so much too little (below 0: too much)."""
        self._due[key] = self._due.get(key, self._now) + seconds
