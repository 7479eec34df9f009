"""Partitions of `jobs` and `results` on PostgreSQL: seven days of ids each, so that retention drops whole tables.

Ids are UUIDs of version 7: their first 48 bits are milliseconds since 1970 (RFC 9562), and PostgreSQL orders UUIDs byte
by byte, so a range of ids is a range of times.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from inferq_core.ids import JobId, lowest_id
from inferq_core.store.engine import Database
from inferq_core.store.records import RETRY_PREFIX
from inferq_core.store.sql import read_clock

PARTITIONED = ("jobs", "results")
WINDOW_S = 7 * 86_400
# This week's and the next two: the keeper may be away for a week without harm.
WINDOWS_AHEAD = 2
_NAME = re.compile(rf"({'|'.join(PARTITIONED)})_(default|\d{{8}})")
# A partition's creation locks the whole table; whoever works on it goes first, and the next sweep tries again.
_LOCK_TIMEOUT = "2s"
_LOCK_NOT_AVAILABLE, _ROWS_IN_DEFAULT, _DUPLICATE_TABLE, _OVERLAP = "55P03", "23514", "42P07", "42P17"
_DEADLOCK, _UNDEFINED_TABLE = "40P01", "42P01"
# A partition leaves under a lock of the whole table, and whoever comes meanwhile waits behind it: a moment, some times.
DETACH_TIMEOUT = "100ms"
DETACH_TRIES = 20
DETACH_PAUSE_S = 0.3


def is_partition(table_name: str) -> bool:
    """The table is one of ours, made at run time and unknown to alembic."""
    return _NAME.fullmatch(table_name) is not None


def prepare(connection: Connection) -> None:
    """Make the partitions of this and the next weeks that are missing.

    Skips one whose rows are in the default partition already, or whose table is busy.
    """
    for name, parent, lower, upper in _wanted(read_clock(connection)):
        if connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None:
            continue
        try:
            with connection.begin_nested():
                connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
                connection.execute(
                    text(f"CREATE TABLE {name} PARTITION OF {parent} FOR VALUES FROM ('{lower}') TO ('{upper}')")
                )
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in (
                _LOCK_NOT_AVAILABLE,
                _ROWS_IN_DEFAULT,
                _DUPLICATE_TABLE,
                _OVERLAP,
            ):
                raise


def _wanted(now: float) -> Iterator[tuple[str, str, JobId, JobId]]:
    """Name, parent, lowest id and the id after the highest of each partition that should exist."""
    this_week = int(now // WINDOW_S)
    for window in range(this_week, this_week + WINDOWS_AHEAD + 1):
        start, stop = window * WINDOW_S, (window + 1) * WINDOW_S
        for parent in PARTITIONED:
            yield f"{parent}_{datetime.fromtimestamp(start, UTC):%Y%m%d}", parent, lowest_id(start), lowest_id(stop)


def drop_weeks(database: Database, before: float) -> Iterator[Mapping[str, int]]:
    """Drop the weeks in which every job ended before `before`; by table: rows that went with each.

    A week that still holds an unfinished job, or one that ended later, is left; so is one whose tables stay busy.
    """
    _drop_leftovers(database)
    for day in database.read(_days):
        start = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp()
        if start + WINDOW_S <= before:
            week = _Week(day, lowest_id(start), lowest_id(start + WINDOW_S))
            with suppress(_BusyWeek):
                gone = database.write(partial(_detach_week, week=week, before=before))
                if gone is not None:
                    yield gone
                    _drop_leftovers(database)


def analyze(connection: Connection, before: float) -> None:
    """Tell PostgreSQL how many rows are left in what a purge deleted rows from."""
    for day in [*_days(connection), "default"]:
        if day == "default" or datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp() <= before:
            for parent in PARTITIONED:
                connection.execute(text(f"ANALYZE {parent}_{day}"))
    for name in ("batches", "logs", "feedback", "idempotency_keys", "scaling_decisions", "webhook_deliveries"):
        connection.execute(text(f"ANALYZE {name}"))


class _BusyWeek(Exception):
    """Its tables are in use, or another purge has it."""


@dataclass(frozen=True, slots=True)
class _Week:
    day: str  # of its start, as in the names of its tables
    lower: JobId
    upper: JobId


def _detach_week(connection: Connection, week: _Week, before: float) -> Mapping[str, int] | None:
    """Take the week out of `jobs` and `results`, with all that belongs to it. None when it must stay for now."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{DETACH_TIMEOUT}'"))
    with _busy():
        # Nobody accepts a job of that week from here on, and what is not pending cannot get a result.
        connection.execute(text(f"LOCK TABLE jobs_{week.day} IN SHARE MODE"))
        if not _is_over(connection, week, before):
            return None
        gone = _delete_what_belongs(connection, week)
    for _ in range(DETACH_TRIES):
        with suppress(_BusyWeek):
            with _busy(), connection.begin_nested():
                for parent in ("results", "jobs"):
                    connection.execute(text(f"ALTER TABLE {parent} DETACH PARTITION {parent}_{week.day}"))
            return gone
        time.sleep(DETACH_PAUSE_S)
    raise _BusyWeek


@contextmanager
def _busy() -> Iterator[None]:
    """Locks that others have as _BusyWeek."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in (_LOCK_NOT_AVAILABLE, _DEADLOCK, _UNDEFINED_TABLE):
            raise _BusyWeek from error
        raise


def _is_over(connection: Connection, week: _Week, before: float) -> bool:
    bounds = {"lower": week.lower, "upper": week.upper}
    unfinished = text(
        "SELECT EXISTS (SELECT FROM pending WHERE id >= CAST(:lower AS uuid) AND id < CAST(:upper AS uuid))"
    )
    if connection.scalar(unfinished, bounds):
        return False
    last = connection.scalar(text(f"SELECT max(completed_at) FROM results_{week.day}"))  # noqa: S608
    return last is None or last < before


def _delete_what_belongs(connection: Connection, week: _Week) -> Mapping[str, int]:
    jobs, bounds = f"jobs_{week.day}", {"lower": week.lower, "upper": week.upper}
    keys = connection.execute(
        text(f"DELETE FROM idempotency_keys USING {jobs} AS job WHERE key = job.idempotency_key")  # noqa: S608
    ).rowcount
    retries = connection.execute(
        text(f"DELETE FROM idempotency_keys USING {jobs} AS job WHERE key = '{RETRY_PREFIX}' || job.id")  # noqa: S608
    ).rowcount
    truths = connection.execute(
        text("DELETE FROM feedback WHERE job_id >= CAST(:lower AS uuid) AND job_id < CAST(:upper AS uuid)"), bounds
    ).rowcount
    return {
        "jobs": connection.execute(text(f"SELECT count(*) FROM {jobs}")).scalar_one(),  # noqa: S608
        "results": connection.execute(text(f"SELECT count(*) FROM results_{week.day}")).scalar_one(),  # noqa: S608
        "idempotency_keys": keys + retries,
        "feedback": truths,
    }


def _days(connection: Connection) -> list[str]:
    """The weeks that are parts of both tables, by their first day, the oldest first."""
    query = text(
        "SELECT right(relname, 8) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent IN (to_regclass('jobs'), to_regclass('results')) AND relname ~ '^(jobs|results)_[0-9]{8}$' "
        "GROUP BY 1 HAVING count(*) = 2 ORDER BY 1"
    )
    return list(connection.scalars(query))


def _drop_leftovers(database: Database) -> None:
    """Drop the weeks that were taken out. Their files go without a lock that anybody waits for."""
    query = text(
        "SELECT relname FROM pg_class LEFT JOIN pg_inherits ON inhrelid = pg_class.oid "
        "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace "
        "AND relname ~ '^(jobs|results)_[0-9]{8}$' AND inhrelid IS NULL"
    )

    def drop(connection: Connection, name: str) -> None:
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))

    for name in database.read(lambda connection: list(connection.scalars(query))):
        database.write(partial(drop, name=name))
