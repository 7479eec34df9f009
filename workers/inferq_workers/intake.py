"""Celery's consumer, and what of its messages it takes: the others are set aside.

Messages of ours go to the batcher without Celery's layers; what Celery itself must handle goes its usual way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kombu
from celery.worker import strategy as celery_strategy

from inferq_core import messages
from inferq_core.errors import MessageRejected
from inferq_core.logging import get_logger
from inferq_workers.aside import set_aside
from inferq_workers.consumer import Batcher
from inferq_workers.reconnecting import Reconnecting
from inferq_workers.tasks import PREPARE_TASK, SWEEP_TASK

log = get_logger(__name__)

# Seconds that events for Flower may wait to be sent together.
EVENT_FLUSH_INTERVAL = 0.1
# What may be asked for in a message; whatever else a worker does, it asks of itself.
TASKS_TAKEN = {messages.PREDICT_TASK, messages.DELIVER_TASK, SWEEP_TASK, PREPARE_TASK}


class SettingAside(Reconnecting):
    """Celery's consumer, which sets aside what it cannot take instead of dropping it or ending over it."""

    batcher: Batcher
    _flush_planned = False

    def on_send_event_buffered(self) -> None:
        """Events wait a moment for others: each trip to the broker holds up the event loop, and with it the batches."""
        if not self._flush_planned:
            self._flush_planned = True
            self.hub.call_later(EVENT_FLUSH_INTERVAL, self._flush)

    def shutdown(self) -> None:
        self._flush()
        super().shutdown()

    def _flush(self) -> None:
        self._flush_planned = False
        try:
            self._flush_events()
        except self.connection_errors as error:
            log.warning("events_lost", reason=str(error))

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[kombu.Message], Any]:
        usual = super().create_task_handler(*args, **kwargs)

        def on_message(message: kombu.Message) -> None:
            try:
                if not self.batcher.takes(message):
                    usual(message)
            except self.connection_errors:
                raise
            except MessageRejected as error:
                put_aside(message, str(error))
            except Exception as error:  # noqa: BLE001 - whatever a stranger's message breaks, the worker lives
                put_aside(message, f"{type(error).__name__}: {error}")

        return on_message

    def update_strategies(self) -> None:
        """Nobody else has a reason to send anything but these: not Celery's own tasks, and no recovery."""
        super().update_strategies()
        for name in set(self.strategies) - TASKS_TAKEN:
            del self.strategies[name]

    def on_unknown_message(self, _body: Any, message: kombu.Message) -> None:
        put_aside(message, "it names no task")

    def on_unknown_task(self, _body: Any, message: kombu.Message, _error: Exception) -> None:
        put_aside(message, f"no task {str(message.headers.get('task'))[:80]!r} is taken from a queue")

    def on_invalid_task(self, _body: Any, message: kombu.Message, error: Exception) -> None:
        put_aside(message, f"it is no valid call of a task: {error}")

    def on_decode_error(self, message: kombu.Message, error: Exception) -> None:
        put_aside(message, f"its body cannot be read: {error}")


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., Any]:
    """Celery's execution strategy of `inferq.predict`, for the messages that `Batcher.takes` leaves to Celery."""
    default = celery_strategy.default(task, app, consumer)
    store_id = app.inferq.store_id

    def on_message(message: kombu.Message, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        store = messages.store_of(message.headers)
        if store not in (None, store_id):
            raise MessageRejected(f"the message is of store {store!r}, this worker serves {store_id!r}")
        messages.check_call(message.payload[0] if body is None else body.get("args"))
        default(message, body, ack, reject, callbacks)

    return on_message


def put_aside(message: kombu.Message, reason: str) -> None:
    """Move a message that is not ours, or is damaged, out of the way."""
    body = message.body
    set_aside(
        message.channel,
        body if isinstance(body, bytes) else str(body or "").encode(errors="replace"),
        reason,
        queue=message.delivery_info.get("routing_key"),
        headers=message.headers,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
    )
    message.ack()
