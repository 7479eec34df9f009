"""Waiting for room in a model's backlog."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

from inferq.cli.meter import Meter
from inferq.cli.stop import Stop
from inferq_core.errors import BacklogFull, Interrupted
from inferq_core.store.contract import Store

T = TypeVar("T")

# Seconds between two tries: at least, and at most.
POLL_FIRST, POLL_LAST = 0.005, 0.2
# Seconds of waiting after which it is worth knowing whether there is a worker.
SILENCE = 10.0
# Seconds within which a worker must have reported itself to count.
WORKER_SEEN = 30.0


class Room:
    """For one command: says the first time that it waits."""

    def __init__(self, store: Store, meter: Meter, stop: Stop) -> None:
        self._store = store
        self._meter = meter
        self._stop = stop
        self._has_waited = False

    def enter(self, enter: Callable[[], T]) -> T:
        """`enter()`, tried again while it raises BacklogFull.

        Raises BacklogFull for what never fits, and Interrupted when the command is to stop.
        """
        silent_since = time.monotonic()
        while True:
            try:
                return enter()
            except BacklogFull as full:
                if full.never_fits:
                    raise
                self._wait(full)
                if time.monotonic() - silent_since >= SILENCE:
                    silent_since = math.inf
                    look_for_worker(self._store, self._meter)

    def _wait(self, full: BacklogFull) -> None:
        if not self._has_waited:
            self._meter.say(f"{full}. Waiting, whenever it is full")
            self._has_waited = True
        if self._stop.requested:
            raise Interrupted("interrupted")
        time.sleep(min(max(full.retry_after or POLL_LAST, POLL_FIRST), POLL_LAST))


def look_for_worker(store: Store, meter: Meter) -> None:
    """Say so when there is none."""
    if not store.workers(seen_within=WORKER_SEEN):
        meter.say("no worker is running: `inferq worker`, or `inferq up`, starts one. Waiting")
