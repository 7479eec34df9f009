"""Taking jobs back: queued ones end at once, running ones are taken from their batch, which then writes no result.

The order of the locks is what keeps it from deadlocks. First the queued jobs, in id order: claims and sweeps skip what
is locked, so nobody who waits for these holds anything of ours. Then the batches, in id order, before any of their jobs
is touched: whatever takes jobs from a batch waits at the batch's row and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, case, func, select, update

from inferq_core.ids import JobId
from inferq_core.states import ErrorCode, State
from inferq_core.store.completion import end
from inferq_core.store.sql import one_of, read_clock
from inferq_core.store.tables import batches, pending, results

MESSAGE = "it was cancelled"


def cancel(connection: Connection, job_ids: Sequence[JobId]) -> Mapping[JobId, State]:
    """Cancel those that have not ended. By job: the state in which this found it.

    Left out are jobs that moved while the locks were taken (claimed, or given back): ask again for those.
    """
    mine = one_of(connection, pending.c.id, job_ids)
    queued = connection.scalars(
        select(pending.c.id).where(mine, pending.c.batch_id.is_(None)).order_by(pending.c.id).with_for_update()
    ).all()
    holders = connection.scalars(select(pending.c.batch_id).where(mine, pending.c.batch_id.is_not(None)).distinct())
    locked = connection.scalars(
        select(batches.c.id)
        .where(one_of(connection, batches.c.id, list(holders)))
        .order_by(batches.c.id)
        .with_for_update()
    ).all()
    running = connection.scalars(select(pending.c.id).where(mine, one_of(connection, pending.c.batch_id, locked))).all()
    now = read_clock(connection)
    _let_go(connection, running, now)
    taken = end(
        connection,
        one_of(connection, pending.c.id, [*queued, *running]),
        state=State.CANCELLED,
        code=ErrorCode.CANCELLED,
        message=MESSAGE,
        now=now,
    )
    ended = connection.execute(
        select(results.c.id, results.c.state).where(one_of(connection, results.c.id, job_ids))
    ).all()
    before = dict.fromkeys(map(JobId, queued), State.QUEUED) | dict.fromkeys(map(JobId, running), State.RUNNING)
    return {JobId(row.id): State(row.state) for row in ended} | {job_id: before[job_id] for job_id in taken}


def _let_go(connection: Connection, job_ids: Sequence[str], now: float) -> None:
    """Count the jobs off their batches; a batch that holds none any more is finished."""
    taken = (
        select(pending.c.batch_id, func.count().label("n"))
        .where(one_of(connection, pending.c.id, job_ids))
        .group_by(pending.c.batch_id)
        .subquery("taken")
    )
    emptied = batches.c.n_open <= taken.c.n
    connection.execute(
        update(batches)
        .where(batches.c.id == taken.c.batch_id)
        .values(
            n_open=batches.c.n_open - taken.c.n,
            finished_at=case((emptied, now), else_=batches.c.finished_at),
            outcome=case((emptied, "cancelled"), else_=batches.c.outcome),
        )
    )
