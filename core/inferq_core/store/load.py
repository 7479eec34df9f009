"""How much waits, and what the last batches did: what people look at while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, case, func, literal, select

from inferq_core.ids import BatchId
from inferq_core.states import Priority
from inferq_core.store.part import Part
from inferq_core.store.records import BacklogGroup, BatchView
from inferq_core.store.sql import clock
from inferq_core.store.tables import batches, pending

_QUEUED = pending.c.batch_id.is_(None)
_RUNNING = pending.c.batch_id.is_not(None)


class LoadPart(Part):
    """See `contract.Load`."""

    def backlog(self, *, limit: int = 500) -> Sequence[BacklogGroup]:
        kind = (pending.c.queue, pending.c.priority, pending.c.model)
        oldest = clock() - func.min(case((_QUEUED, pending.c.created_at)))
        query = (
            select(
                *kind,
                _sum(_QUEUED, literal(1)).label("queued_jobs"),
                _sum(_QUEUED, pending.c.n_rows).label("queued_rows"),
                _sum(_RUNNING, literal(1)).label("running_jobs"),
                _sum(_RUNNING, pending.c.n_rows).label("running_rows"),
                oldest.label("oldest_seconds"),
            )
            .group_by(*kind)
            .order_by(*kind)
            .limit(limit)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [
            BacklogGroup(
                queue=row.queue,
                priority=Priority(row.priority),
                model=row.model,
                queued_jobs=int(row.queued_jobs),
                queued_rows=int(row.queued_rows),
                running_jobs=int(row.running_jobs),
                running_rows=int(row.running_rows),
                # The clock of the statement can be a hair behind that of the job.
                oldest_seconds=None if row.oldest_seconds is None else max(float(row.oldest_seconds), 0.0),
            )
            for row in rows
        ]

    def recent_batches(self, *, limit: int) -> Sequence[BatchView]:
        # Ids grow with time: this reads the end of the primary key and nothing else.
        query = select(batches).order_by(batches.c.id.desc()).limit(limit)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [
            BatchView(
                id=BatchId(row.id),
                worker=row.worker,
                n_jobs=row.n_jobs,
                n_rows=row.n_rows,
                claimed_at=row.claimed_at,
                finished_at=row.finished_at,
                predict_seconds=row.predict_seconds,
                outcome=row.outcome,
            )
            for row in rows
        ]

    def busy(self) -> Mapping[str, int]:
        live = batches.c.finished_at.is_(None) & (batches.c.lease_until >= clock())
        query = select(batches.c.worker, func.count().label("n")).where(live).group_by(batches.c.worker)
        return {row.worker: row.n for row in self._database.read(lambda connection: connection.execute(query).all())}


def _sum(which: ColumnElement[bool], what: ColumnElement[int]) -> ColumnElement[int]:
    return func.sum(case((which, what), else_=0))
