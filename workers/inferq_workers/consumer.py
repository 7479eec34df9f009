"""The step of Celery's consumer that merges messages into batches.

A batch is a real Celery request of the task `inferq.predict`, made from a synthetic message that holds the merged ids;
its id is the batch id. Inspect, time limits, warm and cold shutdown, events and Flower therefore keep working: they
read Celery's reserved and active requests. A batch is formed when a pool slot is granted, once per turn of the event
loop, never inside a message handler, so that what arrives together leaves together and nothing waits while a process
is idle.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import kombu
from celery import bootsteps
from celery.utils.imports import symbol_by_name
from celery.worker.request import Request, create_request_cls
from celery.worker.state import revoked, task_reserved
from kombu.common import ignore_errors

from inferq_core import messages
from inferq_core.broker_url import is_redis
from inferq_core.ids import JobId, new_batch_id
from inferq_core.logging import get_logger
from inferq_core.states import ErrorCode
from inferq_workers.batching import Batch, Buffer, Buffered
from inferq_workers.board import Notice
from inferq_workers.costs import Costs
from inferq_workers.fetching import room
from inferq_workers.identity import Identity
from inferq_workers.request import RECOVER_TASK, BatchRequest, measured

log = get_logger(__name__)

# Seconds between two looks for processes that died; Celery's own interval is 5 s, and each look costs microseconds.
MAINTAIN_POOL_INTERVAL = 0.5


class Batcher(bootsteps.StartStopStep):
    """The consumer step that owns the buffer."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        consumer.batcher = self
        self._consumer = consumer
        self._identity: Identity = consumer.app.inferq
        self._autoscaler = consumer.controller.autoscaler  # None without --autoscale
        self._costs = Costs() if self._autoscaler is None else self._autoscaler.meter.costs
        self._buffer: Buffer[kombu.Message] = Buffer(self._costs.of)
        # Of the last batches, those that may not be accepted yet.
        self._handed: list[Buffered[kombu.Message]] = []
        self._marks: dict[tuple[str, int], float] = {}
        self._slot_asked = False
        self._turn_planned = False
        self.stopping = False
        self.received = 0  # messages, whatever became of them

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
        self._request_classes[messages.PREDICT_TASK] = measured(self._request_classes[messages.PREDICT_TASK])
        self._bound_fetching(consumer)
        self.post()

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        hub.call_repeatedly(MAINTAIN_POOL_INTERVAL, consumer.pool.maintain_pool)
        if self._buffer:  # kept over a reconnect
            self._plan_turn()

    def close(self, _consumer: Any) -> None:
        self.stopping = True
        self.post()

    def stop(self, consumer: Any) -> None:
        """Give back what is buffered (shutdown). When the connection broke, keep what nobody else delivers again.

        A broker of AMQP does; on Redis a channel gives back what it can when it is closed.
        """
        if consumer.connection is not None:
            self._give_back(consumer)
        elif is_redis(self._identity.settings.broker) and not self.stopping:
            self._keep()
        elif entries := self._buffer.drain():
            log.warning("buffered_messages_dropped", messages=len(entries))
        self.post()

    def _keep(self) -> None:
        """What is in nobody's hands but ours: Celery has the pool drop what it had not accepted."""
        entries = [*self._handed, *self._buffer.drain()]
        self._handed = []
        for entry in entries:
            if not entry.handle.acknowledged:
                self._buffer.put(entry.message, entry.handle)

    def _give_back(self, consumer: Any) -> None:
        entries = self._buffer.drain()
        if consumer.task_consumer is None:
            return  # it never came that far
        channel = consumer.task_consumer.channel
        if hasattr(channel, "hand_back"):
            channel.hand_back()
            return
        # Else the broker would deliver what is refused to this worker again.
        ignore_errors(consumer, consumer.task_consumer.cancel)
        for entry in reversed(entries):  # each goes to the front of its queue
            entry.handle.reject_log_error(log, consumer.connection_errors, requeue=True)

    def takes(self, message: kombu.Message) -> bool:
        """Buffer a message of ours. False: it is for Celery to handle. Raises MessageRejected when it is damaged.

        Celery's default strategy gets other tasks, and ours with an ETA, of the old protocol, or revoked.
        """
        self.received += 1
        headers = message.headers
        if headers.get("task") != messages.PREDICT_TASK or headers.get("eta") or headers.get("id") in revoked:
            return False
        self._put(messages.decode(message.body, headers, self._identity.store_id), message)
        return True

    def _put(self, message: messages.JobMessage, raw: kombu.Message) -> None:
        if self.stopping:
            raw.reject_log_error(log, self._consumer.connection_errors, requeue=True)
            return
        self._buffer.put(message, raw)
        if self._autoscaler is not None:
            self._autoscaler.meter.received(message)
        mark = (message.queue, int(message.priority))
        self._marks[mark] = max(self._marks.get(mark, 0.0), message.published_at)
        self._plan_turn()

    def ended(self, request: BatchRequest, seconds: float | None) -> None:
        """A batch succeeded after `seconds` in its process; None: it failed. Only the first call for a batch counts."""
        batch, request.batch = request.batch, None
        if batch is None:
            return
        if seconds is not None:
            self._costs.ended(batch.kind.model, batch.n_rows, seconds, request.worker_pid)
        self._buffer.ended(batch, time.monotonic() - request.begun if seconds is None else seconds)

    def buffered_rows(self) -> dict[str, int]:
        """By model."""
        return self._buffer.rows_by_model()

    def is_idle(self) -> bool:
        """Whether a process is free and nothing waits here for one."""
        return not self._buffer and self._consumer.controller.semaphore.value > 0

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
        batch = None if self.stopping else self._buffer.next_batch()
        if batch is None:
            self._consumer.controller.semaphore.release()
            return
        self._handed = [*(entry for entry in self._handed if not entry.handle.acknowledged), *batch.entries]
        self.post()
        self._execute(self._batch_request(batch))
        if self._buffer:
            self._plan_turn()

    def _execute(self, request: Request) -> None:
        task_reserved(request)
        self._consumer.controller._process_task(request)  # noqa: SLF001 - the slot is taken already

    def _batch_request(self, batch: Batch[kombu.Message]) -> Request:
        model, entries = batch.kind.model, batch.entries
        ids: list[JobId] = [job_id for entry in entries for job_id in entry.message.job_ids]
        headers = {
            "argsrepr": messages.describe(model, len(ids)),
            "timelimit": [min(entry.message.limits.time_limit for entry in entries), None],
        }
        arguments = [[model, ids], {}, {}]
        request = self._request(
            messages.PREDICT_TASK, str(new_batch_id()), arguments, headers, [entry.handle for entry in entries]
        )
        request.batch, request.begun = batch, time.monotonic()
        request.send_event("task-received", name=request.name, args=request.argsrepr, kwargs="")
        return request

    def _request(
        self, task_name: str, task_id: str, arguments: Any, headers: dict[str, Any], raws: Sequence[kombu.Message]
    ) -> Request:
        consumer = self._consumer
        task = consumer.app.tasks[task_name]

        def settle(logger: Any, errors: Any) -> None:
            for raw in raws:
                raw.ack_log_error(logger, errors)

        def refuse(logger: Any, errors: Any, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's shape
            for raw in raws:
                raw.reject_log_error(logger, errors, requeue)

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
        """Have the channel ask how much it may fetch (on Redis; AMQP counts messages itself)."""
        qos = getattr(consumer.task_consumer.channel, "qos", None)
        if qos is not None:
            qos.bound = self._room

    def _room(self, level: int, held: int, credit: int) -> int:
        """As `fetching.room`; `held` messages are not acknowledged."""
        if self.stopping:
            return 0
        buffer = self._buffer
        processes = self._consumer.pool.num_processes
        return room(level, buffer.rows, held, buffer.recent_rows_per_message, processes, credit)

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
                oldest=self._buffer.oldest(),
                costs=self._costs.lines(),
                changes=() if self._autoscaler is None else tuple(self._autoscaler.changes),
            )
        )
