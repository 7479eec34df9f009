"""What people read later: failures, retries, model loads, worker up and down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, insert, select

from inferq_core.store.part import Part
from inferq_core.store.records import LogEntry
from inferq_core.store.sql import json_text, read_clock, storable
from inferq_core.store.tables import logs


class LogsPart(Part):
    """See `contract.Logs`."""

    def append(self, entries: Sequence[LogEntry]) -> None:
        if entries:
            self._database.write(lambda connection: write_entries(connection, entries), durable=False)

    def read(
        self,
        *,
        job_id: str | None = None,
        model: str | None = None,
        level: str | None = None,
        after: int = 0,
        limit: int = 200,
    ) -> Iterator[tuple[int, LogEntry]]:
        query = select(logs).where(logs.c.id > after).order_by(logs.c.id.desc()).limit(limit)
        for column, wanted in ((logs.c.job_id, job_id), (logs.c.model, model), (logs.c.level, level)):
            if wanted is not None:
                query = query.where(column == wanted)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return ((row.id, _entry(row)) for row in reversed(rows))

    def read_on(self, *, after: int, limit: int = 1000) -> Sequence[tuple[int, LogEntry]]:
        query = select(logs).where(logs.c.id > after).order_by(logs.c.id).limit(limit)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [(row.id, _entry(row)) for row in rows]


def write_entries(connection: Connection, entries: Sequence[LogEntry]) -> None:
    """In the transaction of `connection`; at least one."""
    now = read_clock(connection)
    rows = [
        {
            "at": now,
            "level": entry.level,
            "event": storable(entry.event),
            "model": storable(entry.model),
            "version": entry.version,
            "job_id": storable(entry.job_id),
            "batch_id": storable(entry.batch_id),
            "worker": storable(entry.worker),
            "fields": json_text(dict(entry.fields)),
        }
        for entry in entries
    ]
    connection.execute(insert(logs).returning(logs.c.id), rows).all()


def _entry(row: Row[Any]) -> LogEntry:
    return LogEntry(
        level=row.level,
        event=row.event,
        fields=orjson.loads(row.fields),
        model=row.model,
        version=row.version,
        job_id=row.job_id,
        batch_id=row.batch_id,
        worker=row.worker,
        at=row.at,
    )
