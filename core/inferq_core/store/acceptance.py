"""Inserting jobs: all or none, one statement per table, idempotency keys first."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.errors import IdempotencyConflict
from inferq_core.ids import JobId
from inferq_core.store.records import Accepted, NewJob
from inferq_core.store.sql import (
    POSTGRESQL_CLOCK,
    SEPARATOR,
    SQLITE_CLOCK,
    json_text,
    kinds_text,
    one_of,
    read_clock,
    sqlite_cursor,
)
from inferq_core.store.tables import idempotency_keys, pending, subscriptions
from inferq_core.store.webhooks import states_text

# What a caller decides of a job, besides its id, inputs and routing hash: columns of `jobs` and their types, and how
# many seconds it may take. It is sent once for all jobs that have it in common, as their kind.
_KIND = {
    "model": "text",
    "version": "text",
    "method": "text",
    "queue": "text",
    "priority": "smallint",
    "n_rows": "int",
    "routing_key": "text",
    "idempotency_key": "text",
    "metadata": "text",
    "reply_to": "text",
    "traceparent": "text",
    "retry_of": "uuid",
    "owner": "text",
    "deadline": "float8",
}
_COLUMNS = ", ".join(["id", "inputs", "routing_hash", *(name for name in _KIND if name != "deadline")])
_RECORD = ", ".join(f"{name} {kind}" for name, kind in _KIND.items())

# A job that is there already (the call is repeated because its commit was in doubt) is not made pending again. Ids and
# inputs travel as one text each: a join on this side instead of escaping each for an array.
_POSTGRESQL_INSERT = f"""
WITH moment AS MATERIALIZED (SELECT {POSTGRESQL_CLOCK} AS at), inserted AS (
    INSERT INTO jobs ({_COLUMNS}, created_at, deadline_at)
    SELECT {_COLUMNS}, moment.at, moment.at + deadline
    FROM unnest(CAST(string_to_array(%(ids)s, ',') AS uuid[]), string_to_array(%(inputs)s, %(separator)s),
        CAST(string_to_array(%(hashes)s, ',') AS bigint[]), CAST(string_to_array(%(kinds)s, ',') AS int[]))
        AS one (id, inputs, routing_hash, kind)
    JOIN json_to_recordset(CAST(%(described)s AS json)) AS kind (number int, {_RECORD}) ON kind.number = one.kind
    CROSS JOIN moment
    ON CONFLICT (id) DO NOTHING
    RETURNING id, model, queue, priority, n_rows, created_at, deadline_at
), queued AS (
    INSERT INTO pending (id, model, queue, priority, n_rows, attempts, solo_crashes, published_at, republished,
        created_at, deadline_at)
    SELECT id, model, queue, priority, n_rows, 0, 0, created_at, 0, created_at, deadline_at FROM inserted
)
SELECT at FROM moment
"""  # noqa: S608 - made of the constants above

# SQLite has no data-modifying WITH; its write lock is held, so what is there stays as it is between the steps.
_SQLITE_THERE = f"""
SELECT (SELECT json_group_array(id) FROM jobs WHERE id IN (SELECT value FROM json_each(?))), {SQLITE_CLOCK}
"""  # noqa: S608 - a constant
_SQLITE_JOB = f"INSERT INTO jobs ({_COLUMNS}, created_at, deadline_at) VALUES ({', '.join('?' * (len(_KIND) + 4))})"  # noqa: S608
_SQLITE_PENDING = """
INSERT INTO pending (id, model, queue, priority, n_rows, attempts, solo_crashes, published_at, republished, created_at,
    deadline_at)
VALUES (?, ?, ?, ?, ?, 0, 0, ?, 0, ?, ?)
"""


def is_single(new_jobs: Sequence[NewJob]) -> bool:
    """Whether accepting these takes one statement on PostgreSQL: they have no key and no webhook."""
    return all(job.sole_key is None and job.webhook is None for job in new_jobs)


def accept(connection: Connection, new_jobs: Sequence[NewJob]) -> Accepted:
    """Insert what is new. Raises IdempotencyConflict."""
    ids = _settle_keys(connection, new_jobs)
    fresh = {job.id: job for job, id_ in zip(new_jobs, ids, strict=True) if job.id == id_}
    if not fresh:
        return Accepted(ids=ids, fresh=frozenset(), published_at=read_clock(connection))
    if connection.dialect.name == "postgresql":
        inserted = connection.exec_driver_sql(_POSTGRESQL_INSERT, _postgresql_values(list(fresh.values())))
        now = float(inserted.scalar_one())
    else:
        with sqlite_cursor(connection) as cursor:
            now = _sqlite_insert(cursor, list(fresh.values()))
    _subscribe(connection, fresh)
    return Accepted(ids=ids, fresh=frozenset(fresh), published_at=now)


def _subscribe(connection: Connection, fresh: Mapping[JobId, NewJob]) -> None:
    """Keep the webhooks of those jobs that have one. One that has ended meanwhile (the call is repeated) needs none."""
    wanted = {job_id: job.webhook for job_id, job in fresh.items() if job.webhook is not None}
    if not wanted:
        return
    unfinished = connection.scalars(select(pending.c.id).where(one_of(connection, pending.c.id, list(wanted)))).all()
    rows = [
        {
            "job_id": job_id,
            "url": wanted[job_id].url,
            "host": wanted[job_id].host,
            "states": states_text(wanted[job_id].states),
            "owner": fresh[job_id].owner,
        }
        for job_id in unfinished
    ]
    if rows:
        insert_for = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(insert_for(subscriptions).on_conflict_do_nothing(), rows)


def accept_plainly(cursor: Any, new_jobs: Sequence[NewJob], *, sqlite: bool) -> Accepted:
    """`accept` on the driver's own cursor, for jobs that are plain (see `is_single`)."""
    fresh = {job.id: job for job in new_jobs}
    jobs = list(fresh.values())
    if sqlite:
        now = _sqlite_insert(cursor, jobs)
    else:
        [now] = cursor.execute(_POSTGRESQL_INSERT, _postgresql_values(jobs)).fetchone()
    return Accepted(ids=[job.id for job in new_jobs], fresh=frozenset(fresh), published_at=now)


def _postgresql_values(new_jobs: Sequence[NewJob]) -> dict[str, str]:
    kinds: dict[tuple[Any, ...], int] = {}
    numbers = [kinds.setdefault((*_kind(job), job.deadline), len(kinds) + 1) for job in new_jobs]
    return {
        "ids": ",".join([job.id for job in new_jobs]),
        "inputs": SEPARATOR.join([job.inputs for job in new_jobs]),
        "separator": SEPARATOR,
        "hashes": ",".join([str(job.routing_hash) for job in new_jobs]),
        "kinds": ",".join(map(str, numbers)),
        "described": kinds_text(list(_KIND), kinds),
    }


def _sqlite_insert(cursor: sqlite3.Cursor, new_jobs: Sequence[NewJob]) -> float:
    """When they were accepted."""
    there, now = cursor.execute(_SQLITE_THERE, (json_text([job.id for job in new_jobs]),)).fetchone()
    known = frozenset(orjson.loads(there))
    fresh = [(job, None if job.deadline is None else now + job.deadline) for job in new_jobs if job.id not in known]
    if fresh:
        cursor.executemany(
            _SQLITE_JOB,
            [(job.id, job.inputs, job.routing_hash, *_kind(job), now, deadline_at) for job, deadline_at in fresh],
        )
        cursor.executemany(
            _SQLITE_PENDING,
            [
                (job.id, job.model, job.queue, job.priority.value, job.n_rows, now, now, deadline_at)
                for job, deadline_at in fresh
            ],
        )
    return float(now)


def _kind(job: NewJob) -> tuple[Any, ...]:
    """What _KIND names, without the deadline."""
    return (
        job.model,
        job.version,
        job.method.value,
        job.queue,
        job.priority.value,
        job.n_rows,
        job.routing_key,
        job.idempotency_key,
        job.metadata,
        job.reply_to,
        job.traceparent,
        job.retry_of,
        job.owner,
    )


def _settle_keys(connection: Connection, new_jobs: Sequence[NewJob]) -> list[JobId]:
    """The id that answers each job: its own, or that of the job which had its idempotency key first."""
    first: dict[str, NewJob] = {}
    for job in new_jobs:
        if job.sole_key is not None:
            first.setdefault(job.sole_key, job)
    if not first:
        return [job.id for job in new_jobs]
    _insert_keys(connection, first, read_clock(connection))
    holders = {
        row.key: row
        for row in connection.execute(
            select(idempotency_keys).where(one_of(connection, idempotency_keys.c.key, list(first)))
        )
    }
    ids = []
    for job in new_jobs:
        holder = None if job.sole_key is None else holders[job.sole_key]
        if holder is not None and holder.payload_digest != (job.payload_digest or ""):
            raise IdempotencyConflict(
                f"idempotency key {job.sole_key!r} was used for another request (job {holder.job_id}): use a new key"
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
