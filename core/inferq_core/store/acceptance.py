"""Inserting jobs: all or none, one statement per table, idempotency keys first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.errors import IdempotencyConflict
from inferq_core.ids import JobId
from inferq_core.store.records import Accepted, NewJob
from inferq_core.store.sql import one_of, read_clock
from inferq_core.store.tables import idempotency_keys, jobs, pending

# In the order in which `unnest` gets them, with the types that it has to be told.
_POSTGRESQL_TYPES = {
    "id": "uuid",
    "model": "text",
    "version": "text",
    "method": "text",
    "queue": "text",
    "priority": "smallint",
    "n_rows": "int",
    "inputs": "text",
    "routing_key": "text",
    "routing_hash": "bigint",
    "idempotency_key": "text",
    "metadata": "text",
    "reply_to": "text",
    "traceparent": "text",
    "created_at": "float8",
    "deadline_at": "float8",
}
_NAMES = ", ".join(_POSTGRESQL_TYPES)
_ARRAYS = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _POSTGRESQL_TYPES.items())

# A job that is there already (the call is repeated because its commit was in doubt) is not made pending again.
_POSTGRESQL_INSERT = text(f"""
WITH inserted AS (
    INSERT INTO jobs ({_NAMES}) SELECT * FROM unnest({_ARRAYS})
    ON CONFLICT (id) DO NOTHING
    RETURNING id, model, queue, priority, n_rows, created_at, deadline_at
)
INSERT INTO pending (id, model, queue, priority, n_rows, attempts, solo_crashes, published_at, republished, created_at,
    deadline_at)
SELECT id, model, queue, priority, n_rows, 0, 0, created_at, 0, created_at, deadline_at FROM inserted
""")  # noqa: S608 - made of the constants above

_PENDING_FROM_JOB = ("id", "model", "queue", "priority", "n_rows", "created_at", "deadline_at")


def accept(connection: Connection, new_jobs: Sequence[NewJob]) -> Accepted:
    """Insert what is new. Raises IdempotencyConflict."""
    now = read_clock(connection)
    ids = _settle_keys(connection, new_jobs, now)
    fresh = {job.id: job for job, id_ in zip(new_jobs, ids, strict=True) if job.id == id_}
    if fresh:
        rows = [_job_row(job, now) for job in fresh.values()]
        if connection.dialect.name == "postgresql":
            columns = {name: [row[name] for row in rows] for name in _POSTGRESQL_TYPES}
            connection.execute(_POSTGRESQL_INSERT, columns)
        else:
            _sqlite_insert(connection, rows, now)
    return Accepted(ids=ids, fresh=frozenset(fresh), published_at=now)


def _job_row(job: NewJob, now: float) -> dict[str, Any]:
    return {
        "id": job.id,
        "model": job.model,
        "version": job.version,
        "method": job.method.value,
        "queue": job.queue,
        "priority": job.priority.value,
        "n_rows": job.n_rows,
        "inputs": job.inputs,
        "routing_key": job.routing_key,
        "routing_hash": job.routing_hash,
        "idempotency_key": job.idempotency_key,
        "metadata": job.metadata,
        "reply_to": job.reply_to,
        "traceparent": job.traceparent,
        "created_at": now,
        "deadline_at": None if job.deadline is None else now + job.deadline,
    }


def _sqlite_insert(connection: Connection, rows: Sequence[dict[str, Any]], now: float) -> None:
    """SQLite has no data-modifying WITH; its write lock is held, so what is there stays as it is."""
    ids = [row["id"] for row in rows]
    there = set(connection.scalars(select(jobs.c.id).where(one_of(connection, jobs.c.id, ids))))
    rows = [row for row in rows if row["id"] not in there]
    if not rows:
        return
    start = {"attempts": 0, "solo_crashes": 0, "republished": 0, "published_at": now}
    connection.execute(insert(jobs), rows)
    connection.execute(insert(pending), [{name: row[name] for name in _PENDING_FROM_JOB} | start for row in rows])


def _settle_keys(connection: Connection, new_jobs: Sequence[NewJob], now: float) -> list[JobId]:
    """The id that answers each job: its own, or that of the job which had its idempotency key first."""
    first: dict[str, NewJob] = {}
    for job in new_jobs:
        if job.idempotency_key is not None:
            first.setdefault(job.idempotency_key, job)
    if not first:
        return [job.id for job in new_jobs]
    _insert_keys(connection, first, now)
    holders = {
        row.key: row
        for row in connection.execute(
            select(idempotency_keys).where(one_of(connection, idempotency_keys.c.key, list(first)))
        )
    }
    ids = []
    for job in new_jobs:
        holder = None if job.idempotency_key is None else holders[job.idempotency_key]
        if holder is not None and holder.payload_digest != (job.payload_digest or ""):
            raise IdempotencyConflict(
                f"idempotency key {job.idempotency_key!r} was used for another request (job {holder.job_id}): "
                "use a new key"
            )
        ids.append(job.id if holder is None else JobId(holder.job_id))
    return ids


def _insert_keys(connection: Connection, first: Mapping[str, NewJob], now: float) -> None:
    """Take the keys that nobody has. In key order: two processes that share keys wait, and never deadlock.

    PostgreSQL waits here until a transaction that is about to take one of the keys has ended.
    """
    insert_for = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    rows = [
        {"key": key, "job_id": job.id, "payload_digest": job.payload_digest or "", "created_at": now}
        for key, job in sorted(first.items())
    ]
    # RETURNING makes SQLAlchemy send many rows in each statement.
    connection.execute(
        insert_for(idempotency_keys).on_conflict_do_nothing().returning(idempotency_keys.c.key), rows
    ).all()
