"""What a channel of Redis holds, and how much more may come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu.transport import virtual


class QoS(virtual.QoS):
    """Which messages are not acknowledged yet, and how many more may come: known to this process only.

    Level 0 is the most urgent priority. Without a bound only the prefetch count counts, for all levels alike.
    """

    # (level, messages held, prefetch count) -> messages that may come of that level; never more than of a lower one.
    bound: Callable[[int, int, int], int] | None = None

    def room(self, level: int) -> int | None:
        """Messages of that level that may come; None for any number."""
        held = len(self._delivered) - len(self._dirty)
        credit = self.prefetch_count
        if self.bound is not None:
            return self.bound(level, held, credit)
        return max(credit - held, 0) if credit else None

    def takes(self, level: int) -> bool:
        room = self.room(level)
        return room is None or room > 0

    def can_consume(self) -> bool:
        """Whether messages of any level may come."""
        return self.takes(len(self.channel.priority_steps) - 1)

    def restore_unacked(self) -> list[Any]:
        """Give them all back at once. The base class asks a server that is away once for each message."""
        self._flush()
        self.channel.give_back(list(self._delivered.values()))
        self._delivered.clear()
        return []
