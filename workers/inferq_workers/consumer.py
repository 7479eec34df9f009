"""Celery's consumer, taught to merge messages into batches.

A batch is a real Celery request of the task `inferq.predict`, made from a synthetic message that holds the merged ids;
its id is the batch id. Inspect, time limits, warm and cold shutdown, events and Flower therefore keep working: they
read Celery's reserved and active requests. A batch is formed when a pool slot is granted, once per turn of the event
loop, never inside a message handler, so that what arrives together leaves together and nothing waits while a process
is idle.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import kombu
from celery import bootsteps
from celery.utils.imports import symbol_by_name
from celery.worker import strategy as celery_strategy
from celery.worker.request import Request, create_request_cls
from celery.worker.state import revoked, task_reserved

from inferq_core import messages
from inferq_core.errors import MessageRejected
from inferq_core.ids import JobId, new_batch_id
from inferq_core.logging import get_logger
from inferq_core.states import ErrorCode
from inferq_workers.batching import Buffer, Buffered
from inferq_workers.board import Notice
from inferq_workers.identity import Identity
from inferq_workers.request import RECOVER_TASK, BatchRequest, measured

log = get_logger(__name__)

# Rows that a worker buffers per pool process before it stops fetching: enough for the next batch, few enough that
# interactive work does not wait behind what was fetched before it.
BUFFERED_ROWS_PER_PROCESS = 1024
# Seconds between two looks for processes that died; Celery's own interval is 5 s, and each look costs microseconds.
MAINTAIN_POOL_INTERVAL = 0.5
# Where messages go that are not ours or are damaged, for an operator to look at.
SET_ASIDE_QUEUE = "inferq.set-aside"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What it takes to settle one message."""

    raw: kombu.Message
    ack: Callable[..., Any]
    reject: Callable[..., Any]


class Batcher(bootsteps.StartStopStep):
    """The consumer step that owns the buffer; a reconnect clears it (the keeper finds what was lost)."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        consumer.batcher = self
        self._consumer = consumer
        self._identity: Identity = consumer.app.inferq
        self._buffer: Buffer[Delivery] = Buffer()
        self._marks: dict[tuple[str, int], float] = {}
        self._slot_asked = False
        self._turn_planned = False
        self._autoscaler = consumer.controller.autoscaler  # None without --autoscale
        self.stopping = False

    def start(self, consumer: Any) -> None:
        self._slot_asked = False
        self._turn_planned = False
        self._request_classes = {
            name: create_request_cls(
                symbol_by_name(task.Request),
                task,
                consumer.pool,
                consumer.hostname,
                consumer.event_dispatcher,
                app=consumer.app,
            )
            for name, task in consumer.app.tasks.items()
            if name in (messages.PREDICT_TASK, RECOVER_TASK)
        }
        if self._autoscaler is not None:
            self._request_classes[messages.PREDICT_TASK] = measured(self._request_classes[messages.PREDICT_TASK])
        self._bound_fetching(consumer)
        self.post()

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        hub.call_repeatedly(MAINTAIN_POOL_INTERVAL, consumer.pool.maintain_pool)

    def close(self, _consumer: Any) -> None:
        self.stopping = True
        self.post()

    def stop(self, consumer: Any) -> None:
        """Give back what is buffered (shutdown), or forget it (the connection broke)."""
        entries = self._buffer.drain()
        if consumer.connection is None:
            if entries:
                log.warning("buffered_messages_lost", messages=len(entries))
        else:
            for entry in entries:
                entry.handle.raw.reject_log_error(log, consumer.connection_errors, requeue=True)
        self.post()

    def put(self, message: messages.JobMessage, delivery: Delivery) -> None:
        if self.stopping:
            delivery.raw.reject_log_error(log, self._consumer.connection_errors, requeue=True)
            return
        self._buffer.put(message, delivery)
        if self._autoscaler is not None:
            self._autoscaler.meter.received(message)
        mark = (message.queue, int(message.priority))
        self._marks[mark] = max(self._marks.get(mark, 0.0), message.published_at)
        self._plan_turn()

    def ended(self, request: BatchRequest, seconds: float) -> None:
        """A batch succeeded after `seconds` in its process."""
        self._autoscaler.meter.ended(request.model, request.n_rows, seconds, request.worker_pid)

    def buffered_rows(self) -> dict[str, int]:
        """By model."""
        return self._buffer.rows_by_model()

    def recover(self, batch_id: str, job_ids: Sequence[JobId], code: ErrorCode | None, reason: str) -> None:
        """Have a pool process take the jobs of a dead batch back; `code` None: without blame."""
        if self.stopping:
            return  # the lease runs out by itself
        arguments = [[batch_id, job_ids, code, reason], {}, {}]
        headers = {"argsrepr": f"batch {batch_id}, {code or 'no blame'}"}
        request = self._request(RECOVER_TASK, str(new_batch_id()), arguments, headers, [])
        self._consumer.controller.semaphore.acquire(self._execute, request)

    def is_computing(self, pid: int | None) -> bool:
        return self._identity.board.is_computing(pid)

    def _plan_turn(self) -> None:
        if not self._turn_planned:
            self._turn_planned = True
            self._consumer.hub.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_planned = False
        while self._buffer and not self._slot_asked:
            self._slot_asked = True
            self._consumer.controller.semaphore.acquire(self._on_slot)
        self.post()

    def _on_slot(self) -> None:
        self._slot_asked = False
        batch = [] if self.stopping else self._buffer.next_batch()
        if not batch:
            self._consumer.controller.semaphore.release()
            return
        self.post()
        self._execute(self._batch_request(batch))
        if self._buffer:
            self._plan_turn()

    def _execute(self, request: Request) -> None:
        task_reserved(request)
        self._consumer.controller._process_task(request)  # noqa: SLF001 - the slot is taken already

    def _batch_request(self, batch: Sequence[Buffered[Delivery]]) -> Request:
        first = batch[0].message
        ids: list[JobId] = [job_id for entry in batch for job_id in entry.message.job_ids]
        headers = {
            "argsrepr": messages.describe(first.model, len(ids)),
            "timelimit": [min(entry.message.limits.time_limit for entry in batch), None],
        }
        arguments = [[first.model, ids], {}, {}]
        request = self._request(
            messages.PREDICT_TASK, str(new_batch_id()), arguments, headers, [entry.handle for entry in batch]
        )
        request.model, request.n_rows = first.model, sum(entry.message.n_rows for entry in batch)
        request.send_event("task-received", name=request.name, args=request.argsrepr, kwargs="")
        return request

    def _request(
        self, task_name: str, task_id: str, arguments: Any, headers: dict[str, Any], deliveries: Sequence[Delivery]
    ) -> Request:
        consumer = self._consumer
        task = consumer.app.tasks[task_name]

        def settle(logger: Any, errors: Any) -> None:
            for delivery in deliveries:
                delivery.ack(logger, errors)

        def refuse(logger: Any, errors: Any, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's shape
            for delivery in deliveries:
                delivery.reject(logger, errors, requeue)

        headers = {"lang": "py", "task": task_name, "id": task_id, "root_id": task_id, "kwargsrepr": "", **headers}
        message = kombu.Message(body=arguments, headers=headers, properties={}, delivery_info={})
        request = self._request_classes[task_name](
            message,
            on_ack=settle,
            on_reject=refuse,
            app=consumer.app,
            hostname=consumer.hostname,
            eventer=consumer.event_dispatcher,
            task=task,
            connection_errors=consumer.connection_errors,
            body=arguments,
            headers=headers,
            decoded=True,
            utc=True,
        )
        request.batcher = self
        return request

    def _bound_fetching(self, consumer: Any) -> None:
        """Stop fetching while the buffer is full (transports that emulate prefetch; AMQP counts messages itself)."""
        qos = getattr(consumer.task_consumer.channel, "qos", None)
        if qos is None or not hasattr(qos, "can_consume"):
            return
        allowed = qos.can_consume
        buffer = self._buffer

        def can_consume(_: Any) -> bool:
            bound = BUFFERED_ROWS_PER_PROCESS * max(consumer.pool.num_processes, 1)
            return buffer.rows < bound and bool(allowed())

        qos.can_consume = MethodType(can_consume, qos)

    def post(self) -> None:
        """Tell the pool processes how things are."""
        self._identity.board.write(
            Notice(
                worker=self._identity.worker,
                pid=os.getpid(),
                concurrency=self._consumer.pool.num_processes,
                stopping=self.stopping,
                marks=self._marks,
                buffered=self._buffer.rows_by_queue(),
                changes=() if self._autoscaler is None else tuple(self._autoscaler.changes),
            )
        )


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., Any]:
    """Celery's execution strategy of `inferq.predict`: parse and buffer.

    Messages with an ETA, of the old protocol, or whose id was revoked go to Celery's default strategy.
    """
    default = celery_strategy.default(task, app, consumer)
    store_id = app.inferq.store_id

    def on_message(message: kombu.Message, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        headers = message.headers
        if body is not None or headers.get("eta") or headers.get("id") in revoked:
            if _store_of(headers) in (None, store_id):
                default(message, body, ack, reject, callbacks)
            else:
                set_aside(message, f"the message is of store {_store_of(headers)!r}")
            return
        try:
            parsed = messages.decode(message.body, headers, store_id)
        except MessageRejected as error:
            set_aside(message, str(error))
            return
        consumer.batcher.put(parsed, Delivery(message, ack, reject))

    return on_message


def _store_of(headers: dict[str, Any]) -> Any:
    fields = headers.get(messages.HEADER)
    return fields.get("store") if isinstance(fields, dict) else None


def set_aside(message: kombu.Message, reason: str) -> None:
    """Move a message that is not ours to a queue of its own, and say so."""
    headers = {**message.headers, "inferq_set_aside": reason}
    log.error("message_set_aside", reason=reason, queue=SET_ASIDE_QUEUE, bytes=len(message.body or b""))
    channel = message.channel
    kombu.Queue(SET_ASIDE_QUEUE, durable=True)(channel).declare()
    kombu.Producer(channel).publish(
        message.body,
        exchange="",
        routing_key=SET_ASIDE_QUEUE,
        headers=headers,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
    )
    message.ack()
