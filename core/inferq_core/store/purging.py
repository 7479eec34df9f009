"""Retention: what ended before a moment goes, a little at a time, while workers work.

On PostgreSQL whole weeks of `jobs` and `results` are dropped first (`partitions.drop_weeks`). What is left is walked
along the primary keys: ids are UUIDs of version 7, so that what ended before a moment has ids from before it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Delete, Table, Text, cast, delete, exists, func, literal_column, select
from sqlalchemy.dialects import sqlite

from inferq_core.ids import JobId, lowest_id, lowest_id_at
from inferq_core.store import partitions
from inferq_core.store.fleet import FORGET_AFTER_S
from inferq_core.store.part import Part
from inferq_core.store.records import RETRY_PREFIX, retry_key
from inferq_core.store.sql import one_of, read_clock
from inferq_core.store.tables import (
    batches,
    feedback,
    idempotency_keys,
    jobs,
    logs,
    meta,
    results,
    scaling_decisions,
    uploads,
    webhook_deliveries,
    workers,
)

# Rows that one transaction looks at: SQLite lets one process write at a time.
STEP_ROWS = {"sqlite": 500, "postgresql": 5_000}
# Seconds at the least between two transactions on SQLite; else as long as the last one took, so that others get half.
PAUSE_S = 0.005
# Before the name of a table in `meta`: rows that are missing between number 1 and its highest number (SQLite only).
HOLES = "holes:"


@dataclass(frozen=True, slots=True)
class _Walk:
    table: Table
    at: Column[float]  # when a row's time began to count; NULL: it does not yet

    @property
    def by_time(self) -> bool:
        """The ids tell the time, and not only the order."""
        return self.table is not logs


WALKS = (
    _Walk(results, results.c.completed_at),
    _Walk(batches, batches.c.finished_at),
    _Walk(logs, logs.c.at),
    _Walk(scaling_decisions, scaling_decisions.c.at),
    _Walk(webhook_deliveries, webhook_deliveries.c.ended_at),
)


@dataclass(frozen=True, slots=True)
class _Step:
    deleted: Mapping[str, int]
    reached: Any  # the last key that was looked at; None when nothing is left


class PurgingPart(Part):
    """See `contract.Upkeep.purge` and `contract.Upkeep.purgeable`."""

    def purge(self, *, before: float) -> Iterator[Mapping[str, int]]:
        yield {"uploads": self._database.write(lambda connection: _forget_uploads(connection, before), durable=False)}
        if not self._database.is_sqlite:
            yield from partitions.drop_weeks(self._database, before)
        for walk in WALKS:
            yield from self._walk(walk, before)
        yield {"workers": self._database.write(lambda connection: _forget_workers(connection, before), durable=False)}
        if not self._database.is_sqlite:
            self._database.write(lambda connection: partitions.analyze(connection, before), durable=False)

    def purgeable(self, *, before: float) -> Mapping[str, int]:
        return self._database.read(lambda connection: _purgeable(connection, before))

    def _walk(self, walk: _Walk, before: float) -> Iterator[Mapping[str, int]]:
        size = STEP_ROWS[self._database.dialect]
        cursor: Any = None

        def work(connection: Connection) -> _Step:
            return _step(connection, walk, before, cursor, size)

        while True:
            started = time.monotonic()
            step = self._database.write(work, durable=False)
            took = time.monotonic() - started
            yield step.deleted
            if step.reached is None:
                return
            cursor = step.reached
            if self._database.is_sqlite:
                time.sleep(max(took, PAUSE_S))


def _step(connection: Connection, walk: _Walk, before: float, cursor: Any, size: int) -> _Step:
    key = walk.table.c.id
    query = select(key, walk.at.label("at")).order_by(key).limit(size)
    if walk.by_time:
        query = query.where(key < lowest_id(before))
    if cursor is not None:
        query = query.where(key > cursor)
    rows = connection.execute(query).all()
    old = [row.id for row in rows if row.at is not None and row.at < before]
    done = len(rows) < size or (not old and not walk.by_time)
    deleted = {}
    if old:
        deleted = _delete_jobs(connection, old) if walk.table is results else {}
        deleted[walk.table.name] = _delete(
            connection, walk.table, delete(walk.table).where(_among(connection, key, old))
        )
    return _Step(deleted, None if done else rows[-1].id)


def _among(connection: Connection, key: Column[Any], values: Sequence[Any]) -> Any:
    return key.in_(values) if key is logs.c.id else one_of(connection, key, values)


def _delete_jobs(connection: Connection, ids: Sequence[JobId]) -> dict[str, int]:
    """Whatever belongs to these jobs but their results."""
    keyed = select(jobs.c.idempotency_key).where(
        one_of(connection, jobs.c.id, ids), jobs.c.idempotency_key.is_not(None)
    )
    keys = [*connection.scalars(keyed), *map(retry_key, ids)]
    return {
        table.name: _delete(connection, table, delete(table).where(one_of(connection, column, values)))
        for table, column, values in (
            (idempotency_keys, idempotency_keys.c.key, keys),
            (feedback, feedback.c.job_id, ids),
            (jobs, jobs.c.id, ids),
        )
    }


def _delete(connection: Connection, table: Table, statement: Delete) -> int:
    """How many rows went. On SQLite the holes are counted, because `stats` tells rows by their numbers."""
    if connection.dialect.name != "sqlite":
        return connection.execute(statement).rowcount
    highest: Any = select(func.coalesce(func.max(literal_column("rowid")), 0)).select_from(table)
    before = connection.execute(highest).scalar_one()
    deleted = connection.execute(statement).rowcount
    # Numbers above the new highest one are given again.
    holes = deleted - (before - connection.execute(highest).scalar_one())
    if holes:
        known = holes_of(connection, table.name)
        insert = sqlite.insert(meta).values(key=HOLES + table.name, value=str(known + holes))
        connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"value": insert.excluded.value}))
    return deleted


def holes_of(connection: Connection, table_name: str) -> int:
    """Rows that `purge` took out of the numbers below the highest, on SQLite."""
    return int(connection.scalar(select(meta.c.value).where(meta.c.key == HOLES + table_name)) or 0)


def _old_uploads(connection: Connection, before: float) -> list[str]:
    """Those whose first job is about to go, or is gone: what they say of their jobs would not be true any more."""
    ended = func.coalesce(uploads.c.ended_at, uploads.c.heard_at) < before
    old = []
    for row in connection.execute(select(uploads.c.id, uploads.c.started_ms).where(ended)).all():
        first, after = lowest_id_at(row.started_ms), lowest_id_at(row.started_ms + 1)
        going = exists().where(results.c.id >= first, results.c.id < after, results.c.completed_at < before)
        staying = exists().where(jobs.c.id >= first, jobs.c.id < after)
        if connection.scalar(select(going | ~staying)):
            old.append(row.id)
    return old


def _forget_uploads(connection: Connection, before: float) -> int:
    old = _old_uploads(connection, before)
    return connection.execute(delete(uploads).where(one_of(connection, uploads.c.id, old))).rowcount


def _forget_workers(connection: Connection, before: float) -> int:
    """Not those of the last days: their marks tell which messages were received."""
    seen_before = min(before, read_clock(connection) - FORGET_AFTER_S)
    return connection.execute(delete(workers).where(workers.c.seen_at < seen_before)).rowcount


def _purgeable(connection: Connection, before: float) -> Mapping[str, int]:
    found = {}
    for walk in WALKS:
        query = select(func.count()).select_from(walk.table).where(walk.at < before)
        if walk.by_time:
            query = query.where(walk.table.c.id < lowest_id(before))
        found[walk.table.name] = connection.execute(query).scalar_one()
    old = select(results.c.id).where(results.c.id < lowest_id(before), results.c.completed_at < before)
    is_retry = idempotency_keys.c.key.startswith(RETRY_PREFIX)
    retried = func.substr(idempotency_keys.c.key, len(RETRY_PREFIX) + 1)
    old_texts = select(cast(results.c.id, Text)).where(
        results.c.id < lowest_id(before), results.c.completed_at < before
    )
    seen_before = min(before, read_clock(connection) - FORGET_AFTER_S)
    found[uploads.name] = len(_old_uploads(connection, before))
    for table, which in (
        (jobs, jobs.c.id.in_(old)),
        (feedback, feedback.c.job_id.in_(old)),
        (idempotency_keys, (is_retry & retried.in_(old_texts)) | (~is_retry & idempotency_keys.c.job_id.in_(old))),
        (workers, workers.c.seen_at < seen_before),
    ):
        found[table.name] = connection.execute(select(func.count()).select_from(table).where(which)).scalar_one()
    return found
