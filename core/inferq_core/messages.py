"""What travels on the broker: the name of a model and the ids of its jobs, never the inputs (claim check).

A message is an ordinary Celery message of protocol 2 for the task `inferq.predict`
(https://docs.celeryq.dev/en/stable/internals/protocol.html), so that Celery's own tools understand it. What only inferq
needs is in one header, `inferq`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from inferq_core.errors import MessageRejected
from inferq_core.ids import JobId, new_batch_id, parse_job_ids
from inferq_core.settings import DAY, QUEUE_NAME, Settings
from inferq_core.spelling import TRACEPARENT
from inferq_core.states import Priority
from inferq_core.store.records import ModelRecord, PendingRef

PREDICT_TASK = "inferq.predict"
# Wakes those who deliver webhooks. The store's outbox says what there is to do.
DELIVER_TASK = "inferq.deliver"
WEBHOOK_QUEUE = "webhooks"
HEADER = "inferq"
FORMAT = 2
# Rows that the jobs of one message have together: a quarter of a batch of usual size. A worker does not take a message
# apart, so a batch is one at the least, and interactive work has to wait for it.
MAX_MESSAGE_ROWS = 64
# The same for a model with a latency target.
TARGETED_MESSAGE_ROWS = 16
# Rows and jobs of a message or batch, as numbers in its header: far above any real one, and what JSON and SQL hold.
_MAX_COUNT = 2**31 - 1
# Seconds that `published_at` may lie ahead of this host's clock. The newest one received tells which jobs lost their
# message: one far in the future would make orphans of all.
_AHEAD = DAY
# Characters of a model's name, as at registration.
_MAX_NAME = 100
# Bytes of a body: six times what so many ids need. Whatever is longer does not come from here.
MAX_BODY_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """What the worker's main process must know of a model without asking the store."""

    max_batch_rows: int
    time_limit: float  # seconds
    latency_target: float | None = None  # seconds that a batch shall take

    @classmethod
    def of(cls, model: ModelRecord | None, settings: Settings) -> Limits:
        """The model's own limits, and the defaults of `settings` where it has none."""
        if model is None:
            return cls(settings.max_batch_rows, settings.time_limit)
        return cls(
            model.max_batch_rows or settings.max_batch_rows,
            model.time_limit or settings.time_limit,
            model.latency_target,
        )

    @property
    def message_rows(self) -> int:
        """Rows that the jobs of one message have together, at the most."""
        most = MAX_MESSAGE_ROWS if self.latency_target is None else TARGETED_MESSAGE_ROWS
        return min(self.max_batch_rows, most)


@dataclass(frozen=True, slots=True)
class JobMessage:
    store_id: str
    model: str
    job_ids: Sequence[JobId]
    n_rows: int
    queue: str
    priority: Priority
    published_at: float  # the database's clock
    limits: Limits
    group_limit: int | None = None  # jobs that a batch with these may have at the most
    traceparent: str | None = None

    def headers(self) -> dict[str, Any]:
        count = len(self.job_ids)
        headers: dict[str, Any] = {
            "task": PREDICT_TASK,
            "id": str(new_batch_id()),
            "argsrepr": describe(self.model, count),
            "timelimit": [self.limits.time_limit, None],
            # By position: a message of one job is little more than this.
            HEADER: [
                FORMAT,
                self.store_id,
                self.n_rows,
                self.queue,
                int(self.priority),
                round(self.published_at, 6),
                self.limits.max_batch_rows,
                self.group_limit,
                # Only when there is one: a worker of an older version takes messages without it.
                *([] if self.limits.latency_target is None else [self.limits.latency_target]),
            ],
        }
        if self.traceparent:
            headers["traceparent"] = self.traceparent
        return headers

    def body(self) -> bytes:
        return encode_body(self.model, self.job_ids)


@dataclass(frozen=True, slots=True)
class Nudge:
    """A message without content: there is something to do for whoever serves the queue."""

    task: str = DELIVER_TASK
    queue: str = WEBHOOK_QUEUE
    priority: Priority = Priority.NORMAL

    def headers(self) -> dict[str, Any]:
        return {"task": self.task, "id": str(new_batch_id()), "argsrepr": ""}

    def body(self) -> bytes:
        return b"[[],{},{}]"


def describe(model: str, count: int) -> str:
    """What people see of a message in logs and in Flower."""
    return f"{model}, {count} job{'' if count == 1 else 's'}"


def encode_body(model: str, job_ids: Sequence[JobId]) -> bytes:
    return orjson.dumps([[model, list(job_ids)], {}, {}])


def decode(body: bytes | str, headers: Mapping[str, Any], store_id: str) -> JobMessage:
    """The message behind `body` and `headers`.

    Raises MessageRejected when it is not of this system, comes from another store, or is damaged.
    """
    try:
        found, store, n_rows, queue, priority, published_at, max_batch_rows, group_limit, *target = _fields(headers)
        if found != FORMAT:
            raise MessageRejected(f"message format {found!r} is not {FORMAT}: upgrade the older side")
        if store != store_id:
            raise MessageRejected(f"the message is of store {str(store)[:80]!r}, this worker serves {store_id!r}")
        if not QUEUE_NAME.fullmatch(queue):
            raise MessageRejected(f"{queue[:80]!r} is no name of a queue")
        if len(body) > MAX_BODY_BYTES:
            raise MessageRejected(f"the body has {len(body)} bytes, at most {MAX_BODY_BYTES} are taken")
        model, job_ids = check_call(orjson.loads(body)[0])
        return JobMessage(
            store_id=store_id,
            model=model,
            job_ids=job_ids,
            n_rows=max(_count(n_rows), len(job_ids)),
            queue=queue,
            priority=Priority(priority),
            published_at=_published_at(published_at),
            limits=Limits(max(_count(max_batch_rows), 1), _time_limit(headers), _latency_target(target)),
            group_limit=None if group_limit is None else max(_count(group_limit), 1),
            traceparent=_traceparent(headers),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, MessageRejected):
            raise
        raise MessageRejected(f"the message is damaged: {type(error).__name__}: {error}") from error


def check_call(arguments: Any) -> tuple[str, list[JobId]]:
    """The model and the ids that are the positional arguments of the task. Raises MessageRejected."""
    try:
        model, ids = arguments
        job_ids = parse_job_ids(ids)
    except (TypeError, ValueError) as error:
        raise MessageRejected(f"the arguments are no model and ids: {error}") from None
    if not isinstance(ids, list | tuple):
        raise MessageRejected("the arguments are no model and ids: these are no list")
    named = isinstance(model, str) and 0 < len(model) <= _MAX_NAME and model.isprintable()
    if not named or not job_ids or len(job_ids) < len(ids):
        raise MessageRejected("the body names no model, or an id that is none")
    return model, job_ids


def store_of(headers: Mapping[str, Any]) -> str | None:
    """The store that a message says it is of; None when it says nothing."""
    fields = headers.get(HEADER) if isinstance(headers, Mapping) else None
    store = fields[1] if isinstance(fields, list) and len(fields) > 1 else None
    return store if isinstance(store, str) else None


def _fields(headers: Mapping[str, Any]) -> Sequence[Any]:
    fields = headers[HEADER]
    if not isinstance(fields, list):
        raise MessageRejected(f"the header {HEADER!r} is {str(fields)[:80]!r}: upgrade the older side")
    return fields


def _count(value: Any) -> int:
    count = int(value)
    if count > _MAX_COUNT:
        raise MessageRejected(f"a number of rows or jobs is above {_MAX_COUNT}")
    return count


def _published_at(value: Any) -> float:
    at = float(value)
    if not 0 <= at <= time.time() + _AHEAD:
        raise MessageRejected(f"published_at={at} is no time: give seconds since 1970, not in the future")
    return at


def _traceparent(headers: Mapping[str, Any]) -> str | None:
    found = headers.get("traceparent")
    return found if isinstance(found, str) and TRACEPARENT.fullmatch(found) else None


def _time_limit(headers: Mapping[str, Any]) -> float:
    seconds = float(headers["timelimit"][0])
    if not 0 < seconds <= DAY:
        raise MessageRejected(f"a time limit of {seconds} s is none: give more than 0 and at most {DAY:g}")
    return seconds


def _latency_target(fields: Sequence[Any]) -> float | None:
    if not fields:
        return None
    seconds = float(fields[0])
    if len(fields) > 1 or not 0 < seconds <= DAY:
        raise MessageRejected(f"the latency target {str(fields)[:80]} is none: give more than 0 and at most {DAY:g} s")
    return seconds


def group(refs: Sequence[PendingRef], limits_of: Callable[[str], Limits], store_id: str) -> list[JobMessage]:
    """Messages for the jobs, in their order: as few as the limits on rows and jobs per message allow."""
    kinds: dict[tuple[str, Priority, str, int | None], list[PendingRef]] = defaultdict(list)
    for ref in refs:
        kinds[ref.queue, ref.priority, ref.model, ref.group_limit].append(ref)
    messages: list[JobMessage] = []
    for (queue, priority, model, group_limit), members in kinds.items():
        limits = limits_of(model)
        messages.extend(
            JobMessage(
                store_id=store_id,
                model=model,
                job_ids=[ref.id for ref in chunk],
                n_rows=sum(ref.n_rows for ref in chunk),
                queue=queue,
                priority=priority,
                published_at=max(ref.published_at for ref in chunk),
                limits=limits,
                group_limit=group_limit,
                traceparent=_shared_trace(chunk),
            )
            for chunk in _chunks(members, limits.message_rows, group_limit)
        )
    return messages


def _shared_trace(refs: Sequence[PendingRef]) -> str | None:
    """What all of them name; a message of several traces carries none, the workers find each with its job."""
    found = {ref.traceparent for ref in refs}
    return found.pop() if len(found) == 1 else None


def _chunks(refs: Sequence[PendingRef], max_rows: int, max_jobs: int | None) -> list[list[PendingRef]]:
    chunks: list[list[PendingRef]] = []
    rows = 0
    for ref in refs:
        full = not chunks or rows + ref.n_rows > max_rows or (max_jobs is not None and len(chunks[-1]) >= max_jobs)
        if full:
            chunks.append([])
            rows = 0
        chunks[-1].append(ref)
        rows += ref.n_rows
    return chunks
