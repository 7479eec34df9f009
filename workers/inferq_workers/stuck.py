"""A worker that notices that it is stuck: it connects anew first, and makes way for another one if that is no help."""

from __future__ import annotations

import time
from typing import Any

from celery import bootsteps
from celery.worker import state

from inferq_core.logging import get_logger
from inferq_core.policy.stuck import Look, Suspicion, Verdict, judge

log = get_logger(__name__)

# Looks within the patience.
LOOKS = 4
EXIT_STUCK = 4


class StuckConsumer(ConnectionError):
    """The connection stands, and the broker hands out nothing of what waits."""


class StuckWatch(bootsteps.StartStopStep):
    """Looks at the queues from time to time, on the connection that is consumed from; a look is one round trip."""

    requires = ("inferq_workers.consumer:Batcher",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._patience = consumer.app.inferq.settings.stuck_after
        self._suspicion = Suspicion()

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        hub.call_repeatedly(self._patience / LOOKS, self._check, consumer)

    def _check(self, consumer: Any) -> None:
        """Raises StuckConsumer, which Celery answers by connecting anew."""
        if consumer.batcher.stopping or consumer.task_consumer is None:
            return
        look = self._look(consumer)
        verdict, self._suspicion = judge(self._suspicion, look, self._patience)
        if verdict is Verdict.RECONNECT:
            log.warning("worker_reconnects", waiting=look.depth, nothing_received_for_seconds=self._patience)
            raise StuckConsumer(f"{look.depth} messages wait, and none has come for {self._patience:g} s")
        if verdict is Verdict.END:
            log.error("worker_stuck", waiting=look.depth, advice="it ends, for its supervisor to start another")
            state.should_stop = EXIT_STUCK

    def _look(self, consumer: Any) -> Look:
        has_room = consumer.batcher.is_idle()
        return Look(time.monotonic(), _depth(consumer) if has_room else 0, has_room, consumer.batcher.received)


def _depth(consumer: Any) -> int:
    """Messages in the queues that are consumed from (an operator may have taken some away)."""
    channel = consumer.task_consumer.channel
    return sum(int(queue(channel).queue_declare().message_count) for queue in consumer.task_consumer.queues)
