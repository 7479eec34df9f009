"""Partitions of `jobs` and `results` on PostgreSQL: seven days of ids each, so that retention drops whole tables.

Ids are UUIDs of version 7: their first 48 bits are milliseconds since 1970 (RFC 9562), and PostgreSQL orders UUIDs byte
by byte, so a range of ids is a range of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from inferq_core.ids import JobId, lowest_id
from inferq_core.store.sql import read_clock

PARTITIONED = ("jobs", "results")
WINDOW_S = 7 * 86_400
# This week's and the next two: the keeper may be away for a week without harm.
WINDOWS_AHEAD = 2
_NAME = re.compile(rf"({'|'.join(PARTITIONED)})_(default|\d{{8}})")
# A partition's creation locks the whole table; whoever works on it goes first, and the next sweep tries again.
_LOCK_TIMEOUT = "2s"
_LOCK_NOT_AVAILABLE, _ROWS_IN_DEFAULT, _DUPLICATE_TABLE, _OVERLAP = "55P03", "23514", "42P07", "42P17"


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
