"""The newest jobs, without reading the old ones.

Ids are UUIDs of version 7, so their order is that of time: both tables are walked from their end along an index, in
windows, and what does not match is dropped here. However many jobs there are, no more than LOOK_AT are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    Select,
    cast,
    func,
    literal,
    literal_column,
    null,
    select,
    text,
    union_all,
)

from inferq_core.ids import JobId, lowest_id
from inferq_core.states import ErrorCode, Priority, State
from inferq_core.store.jobs import UNFINISHED
from inferq_core.store.part import Part
from inferq_core.store.records import JobPage, JobRow
from inferq_core.store.sql import read_one_of
from inferq_core.store.tables import NOT_SUCCEEDED, jobs, pending, results

# Rows that one question reads: the first, and what growing ends at while few of them match.
FIRST_WINDOW, LAST_WINDOW = 200, 5_000
# Rows after which a list ends and says so: half a second on either database.
LOOK_AT = 50_000


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a job must have to be listed; None stands for anything."""

    model: str | None = None
    state: State | None = None
    version: int | None = None
    owner: str | None = None

    def fits(self, row: Row[Any]) -> bool:
        return (
            self.model in (None, row.model)
            and self.state in (None, row.state)
            and self.version in (None, row.version)
            and (self.owner is None or self.owner == row.owner)
        )


EVERYTHING = _Wanted()


class ListingPart(Part):
    """See `contract.Jobs.newest`."""

    def newest(
        self,
        *,
        model: str | None = None,
        state: State | None = None,
        version: int | None = None,
        owner: str | None = None,
        since: float | None = None,
        before: JobId | None = None,
        limit: int = 50,
    ) -> JobPage:
        wanted = _Wanted(model, state, version, owner)
        window = limit if wanted == EVERYTHING else max(limit, FIRST_WINDOW)
        found: list[JobId] = []
        looked_at = 0
        cursor: JobId | None = before
        while True:
            rows = self._window(wanted, since, cursor, window)
            for row in rows:
                cursor = JobId(row.id)
                if wanted.fits(row):
                    found.append(cursor)
                    if len(found) == limit:
                        return self._page(found, reached=cursor)
            looked_at += len(rows)
            if len(rows) < window:
                return self._page(found, reached=None)
            if looked_at >= LOOK_AT:
                return self._page(found, reached=cursor)
            window = min(4 * window, LAST_WINDOW)

    def _window(self, wanted: _Wanted, since: float | None, cursor: JobId | None, n: int) -> Sequence[Row[Any]]:
        """The next `n` rows, the newest first. One statement: a job that moves meanwhile is seen in one place."""
        parts = list(_sources(wanted.state, since, cursor, n))
        window = union_all(*parts).order_by(literal_column("id").desc()).limit(n)
        query = window if wanted.owner is None else _with_owner(window)
        return self._database.read(lambda connection: connection.execute(query).all())

    def _page(self, job_ids: Sequence[JobId], *, reached: JobId | None) -> JobPage:
        rows = self._database.read(lambda connection: connection.execute(_rows(connection, job_ids)).all())
        return JobPage(tuple(_job_row(row) for row in rows), reached)


def _with_owner(window: Any) -> Select[Any]:
    """The rows of a window with whose they are, which only `jobs` knows."""
    rows = window.subquery("rows_of_window")
    query = select(rows, jobs.c.owner).join_from(rows, jobs, jobs.c.id == rows.c.id)
    return query.order_by(rows.c.id.desc())


def _sources(state: State | None, since: float | None, cursor: JobId | None, n: int) -> Iterator[Select[Any]]:
    """The tables that can hold jobs of this state, each cut to what a window can need."""
    if state is None or not state.terminal:
        unanswered = cast(null(), Integer).label("version")
        query = select(pending.c.id, pending.c.model, UNFINISHED.label("state"), unanswered)
        yield _cut(query, pending.c.id, since, cursor, n)
    if state is None or state.terminal:
        query = select(results.c.id, results.c.model, results.c.state, results.c.version)
        if state not in (None, State.SUCCEEDED):
            query = query.where(text(NOT_SUCCEEDED))  # so that its small index is walked
        yield _cut(query, results.c.id, since, cursor, n)


def _cut(query: Select[Any], key: Any, since: float | None, cursor: JobId | None, n: int) -> Select[Any]:
    if since is not None:
        query = query.where(key >= lowest_id(since))
    if cursor is not None:
        query = query.where(key < cursor)
    return select(query.order_by(key.desc()).limit(n).subquery())


def _rows(connection: Connection, job_ids: Sequence[JobId]) -> Select[Any]:
    return (
        select(
            jobs.c.id,
            jobs.c.model,
            jobs.c.priority,
            jobs.c.queue,
            jobs.c.n_rows,
            jobs.c.created_at,
            func.coalesce(results.c.state, UNFINISHED).label("state"),
            results.c.version,
            results.c.error_code,
            results.c.completed_at,
            func.coalesce(results.c.attempt, pending.c.attempts, literal(0)).label("attempts"),
        )
        .select_from(jobs.outerjoin(pending, pending.c.id == jobs.c.id).outerjoin(results, results.c.id == jobs.c.id))
        .where(read_one_of(connection, jobs.c.id, job_ids))
        .order_by(jobs.c.id.desc())
    )


def _job_row(row: Row[Any]) -> JobRow:
    return JobRow(
        id=JobId(row.id),
        state=State(row.state),
        model=row.model,
        version=row.version,
        priority=Priority(row.priority),
        queue=row.queue,
        n_rows=row.n_rows,
        attempts=row.attempts,
        created_at=row.created_at,
        completed_at=row.completed_at,
        error_code=None if row.error_code is None else ErrorCode(row.error_code),
    )
