"""How much is in the store: counted where that is quick, estimated where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, literal_column, select, text
from sqlalchemy.exc import OperationalError

from inferq_core.errors import SchemaOutdated
from inferq_core.states import State
from inferq_core.store.jobs import UNFINISHED
from inferq_core.store.opening import schema_revision
from inferq_core.store.part import Part
from inferq_core.store.purging import holes_of
from inferq_core.store.records import QueueBacklog, StoreStats, TableStats
from inferq_core.store.sql import clock
from inferq_core.store.tables import NOT_SUCCEEDED, meta, metadata, pending, results
from inferq_core.store.translation import UPGRADE_HINT

# SQLite tells the size of a table by reading the whole file: only of one that is not larger than this.
SIZED_FILE_BYTES = 256 * 1024 * 1024
# The numbers that SQLite gives to their rows tell how many there are: what is missing below the highest is counted.
APPENDED = ("jobs", "results", "batches", "logs", "feedback", "idempotency_keys", "scaling_decisions")

# A table that was never analysed has reltuples = -1; the statistics collector knows about how many rows live then.
_POSTGRESQL_TABLES = text("""
SELECT coalesce(parent.relname, child.relname) AS name,
    sum(CASE WHEN child.reltuples < 0 THEN coalesce(live.n_live_tup, 0) ELSE child.reltuples END) AS rows,
    sum(pg_total_relation_size(child.oid)) AS bytes
FROM pg_class AS child
LEFT JOIN pg_inherits ON pg_inherits.inhrelid = child.oid
LEFT JOIN pg_class AS parent ON parent.oid = pg_inherits.inhparent
LEFT JOIN pg_stat_user_tables AS live ON live.relid = child.oid
WHERE child.relkind = 'r' AND child.relnamespace = current_schema()::regnamespace
GROUP BY 1
""")


class StatsPart(Part):
    """See `contract.Load.stats`."""

    def stats(self) -> StoreStats:
        return self._database.read(_stats)


def _stats(connection: Connection) -> StoreStats:
    is_sqlite = connection.dialect.name == "sqlite"
    size = _sqlite_bytes(connection) if is_sqlite else int(connection.scalar(select(func.pg_database_size(_THIS))) or 0)
    tables = _sqlite_tables(connection, size) if is_sqlite else _postgresql_tables(connection)
    store_id = connection.scalar(select(meta.c.value).where(meta.c.key == "store_id"))
    if store_id is None:
        raise SchemaOutdated(f"the database has no store id: {UPGRADE_HINT}")
    return StoreStats(
        dialect=connection.dialect.name,
        server=".".join(map(str, connection.dialect.server_version_info or ())),
        schema=schema_revision(connection) or "none",
        store_id=store_id,
        bytes=size,
        tables=tables,
        jobs=_jobs(connection, next(table.rows for table in tables if table.name == results.name)),
        backlog=_backlog(connection),
    )


_THIS = func.current_database()


def _jobs(connection: Connection, n_results: int) -> Mapping[State, int]:
    """By state. Those that did not succeed have an index of their own and are counted; the others are the rest."""
    counts = dict.fromkeys(State, 0)
    unfinished = select(UNFINISHED.label("state"), func.count().label("n")).select_from(pending).group_by("state")
    ended = select(results.c.state, func.count().label("n")).where(text(NOT_SUCCEEDED)).group_by(results.c.state)
    for query in (unfinished, ended):
        counts |= {State(row.state): row.n for row in connection.execute(query)}
    failures = sum(counts[state] for state in State if state.terminal)
    return counts | {State.SUCCEEDED: max(n_results - failures, 0)}


def _backlog(connection: Connection) -> Sequence[QueueBacklog]:
    queued = pending.c.batch_id.is_(None)
    rows = connection.execute(
        select(
            pending.c.queue,
            func.count().filter(queued).label("queued_jobs"),
            func.coalesce(func.sum(pending.c.n_rows).filter(queued), 0).label("queued_rows"),
            func.count().filter(~queued).label("running_jobs"),
            (clock() - func.min(pending.c.created_at).filter(queued)).label("oldest_seconds"),
        )
        .group_by(pending.c.queue)
        .order_by(pending.c.queue)
    )
    return [
        QueueBacklog(
            row.queue,
            row.queued_jobs,
            int(row.queued_rows),
            row.running_jobs,
            None if row.oldest_seconds is None else max(float(row.oldest_seconds), 0.0),
        )
        for row in rows
    ]


def _postgresql_tables(connection: Connection) -> Sequence[TableStats]:
    sizes = {row.name: row for row in connection.execute(_POSTGRESQL_TABLES)}
    return [
        TableStats(name, int(sizes[name].rows), exact=False, bytes=int(sizes[name].bytes))
        for name in sorted(metadata.tables)
        if name in sizes
    ]


def _sqlite_tables(connection: Connection, size: int) -> Sequence[TableStats]:
    sizes = _sqlite_sizes(connection) if size <= SIZED_FILE_BYTES else {}
    return [
        TableStats(name, _sqlite_rows(connection, name), exact=name not in APPENDED, bytes=sizes.get(name))
        for name in sorted(metadata.tables)
    ]


def _sqlite_rows(connection: Connection, name: str) -> int:
    table = metadata.tables[name]
    if name not in APPENDED:
        return connection.scalar(select(func.count()).select_from(table)) or 0
    rowid: Any = literal_column("rowid")
    # Apart, because SQLite finds either end at once, but not both in one question.
    last = connection.scalar(select(func.max(rowid)).select_from(table))
    first = connection.scalar(select(func.min(rowid)).select_from(table))
    return 0 if last is None or first is None else last - max(first - 1, holes_of(connection, name))


def _sqlite_bytes(connection: Connection) -> int:
    pages, size = (connection.scalar(text(f"PRAGMA {name}")) or 0 for name in ("page_count", "page_size"))
    return int(pages) * int(size)


def _sqlite_sizes(connection: Connection) -> Mapping[str, int]:
    """Bytes by table, its indexes included; nothing when this SQLite was built without `dbstat`."""
    query = text(
        "SELECT schema.tbl_name AS name, sum(stat.pgsize) AS bytes "
        "FROM dbstat AS stat JOIN sqlite_schema AS schema ON schema.name = stat.name "
        "WHERE stat.aggregate = TRUE GROUP BY 1"
    )
    try:
        return {row.name: row.bytes for row in connection.execute(query)}
    except OperationalError:
        return {}
