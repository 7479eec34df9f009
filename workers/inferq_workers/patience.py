"""Waiting for a store that is away."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

from inferq_core.errors import StoreUnavailable
from inferq_core.logging import get_logger

log = get_logger(__name__)
Answer = TypeVar("Answer")

# Seconds between tries while the store is away; doubles from the first to the second.
RETRY_FIRST, RETRY_LAST = 0.1, 5.0


def waiting_for_store(action: Callable[[], Answer], patience: float = math.inf) -> Answer:
    """`action()`, tried again with back-off while the store is away, for at most `patience` seconds."""
    give_up = time.monotonic() + patience
    delay = RETRY_FIRST
    while True:
        try:
            return action()
        except StoreUnavailable as error:
            if time.monotonic() + delay > give_up:
                raise
            log.warning("store_unavailable", reason=str(error), retry_in_seconds=delay)
            time.sleep(delay)
            delay = min(2 * delay, RETRY_LAST)
