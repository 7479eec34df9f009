"""Celery's events for Flower, which must never hold up the worker that sends them.

Celery sends heartbeats with retries without end, on the main thread: a broker that is silent and not gone would keep
signals and time limits waiting. Here an event is tried once, and after a failure nothing is tried for a while.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from celery.app import events
from celery.events.dispatcher import EventDispatcher

from inferq_core.logging import get_logger

log = get_logger(__name__)

# Events that are kept while the broker does not take them; the oldest go.
MAX_KEPT = 1000
# Seconds without a try after one that failed: it may have cost a whole socket timeout.
PAUSE = 10.0


class Dispatcher(EventDispatcher):
    """Tries each event once. What cannot be sent is kept, within bounds, and sent later."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._paused_until = 0.0
        self._loss_told = False
        super().__init__(*args, **kwargs)
        self._outbound_buffer: deque[tuple[Any, str]] = deque(maxlen=MAX_KEPT)

    def _publish(self, event: Any, producer: Any, routing_key: str, **_: Any) -> None:
        """As the base class, but whatever the caller wants to be tried again is tried once (Celery's heartbeats)."""
        if producer is None:
            return
        if time.monotonic() < self._paused_until:
            self._keep(event, routing_key)
            return
        try:
            producer.publish(
                event,
                routing_key=routing_key,
                exchange=self.exchange.name,
                retry=False,
                declare=[self.exchange],
                serializer=self.serializer,
                headers=self.headers,
                delivery_mode=self.delivery_mode,
            )
        except Exception as error:
            if not self.buffer_while_offline:
                raise
            self._paused_until = time.monotonic() + PAUSE
            log.warning("events_wait", reason=f"{type(error).__name__}: {error}", seconds=PAUSE)
            self._keep(event, routing_key)

    def _keep(self, event: Any, routing_key: str) -> None:
        if len(self._outbound_buffer) == MAX_KEPT and not self._loss_told:
            self._loss_told = True
            log.warning("events_lost", kept=MAX_KEPT, meaning="Flower will not show the oldest")
        self._outbound_buffer.append((event, routing_key))


class Events(events.Events):
    """What `app.events` is."""

    dispatcher_cls = "inferq_workers.events:Dispatcher"
