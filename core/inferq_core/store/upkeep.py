"""What the keeper does: elections, lost leases, deadlines, orphans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.states import ErrorCode, State
from inferq_core.store import partitions
from inferq_core.store.batches import end_exhausted, finish, held_by, requeue
from inferq_core.store.completion import end
from inferq_core.store.fleet import FleetPart, buffered_rows, newest_marks, oldest_buffered
from inferq_core.store.part import REF_COLUMNS, pending_ref
from inferq_core.store.records import PendingRef
from inferq_core.store.sql import clock, one_of, read_clock
from inferq_core.store.tables import batches, leases, pending

# SQLite lets one process write at a time: a sweep must not keep the others waiting.
SWEEP_ROWS = {"sqlite": 500, "postgresql": 10_000}
# 2 ** 5 times ten seconds is five minutes: however often publishing failed, a healthy system gets to the job soon.
MAX_DOUBLINGS = 5
# Two lost leases are bad luck (a deployment, a host); from the third on the job may be what ends its worker.
SUSPECT_ATTEMPTS = 3


class UpkeepPart(FleetPart):
    """See `contract.Upkeep`. Sweeps are the one exception to "a method is one transaction": they take several."""

    def elect(self, role: str, holder: str, *, lease: float) -> bool:
        insert_for = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement = insert_for(leases).values(name=role, holder=holder, until=clock() + lease)
        statement = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": statement.excluded.holder, "until": statement.excluded.until},
            where=or_(leases.c.holder == statement.excluded.holder, leases.c.until < clock()),
        )
        query = statement.returning(leases.c.holder)
        return self._database.write(lambda connection: connection.scalar(query) is not None, durable=False)

    def elected(self, role: str) -> str | None:
        query = select(leases.c.holder).where(leases.c.name == role, leases.c.until >= clock())
        return self._database.read(lambda connection: connection.scalar(query))

    def recover_expired(self, *, max_attempts: int, limit: int = 500) -> Sequence[PendingRef]:
        requeued: list[PendingRef] = []
        room = limit

        def work(connection: Connection) -> _Recovered:
            return _recover_some(connection, max_attempts, room)

        while room > 0:
            done = self._database.write(work)
            requeued += done.requeued
            room -= done.n_batches
            if done.n_batches == 0:
                break
        return requeued

    def expire_overdue(self, *, limit: int = 500) -> int:
        def work(connection: Connection) -> int:
            now = read_clock(connection)
            overdue = (
                select(pending.c.id)
                .where(pending.c.batch_id.is_(None), pending.c.deadline_at < now)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            ids = connection.scalars(overdue).all()
            ended = end(
                connection,
                one_of(connection, pending.c.id, ids),
                state=State.EXPIRED,
                code=ErrorCode.DEADLINE_EXCEEDED,
                message="its deadline passed before a worker got to it",
                now=now,
            )
            return len(ended)

        return self._database.write(work)

    def take_orphans(
        self, *, queue: str, after: float, depth_is_zero: bool, worker_timeout: float, limit: int = 10_000
    ) -> Sequence[PendingRef]:
        taken: list[PendingRef] = []
        step = SWEEP_ROWS[self._database.dialect]

        def work(connection: Connection) -> list[PendingRef]:
            silent = depth_is_zero and buffered_rows(connection, queue, seen_within=worker_timeout) == 0
            before = _published_before(connection, queue, silent=silent, worker_timeout=worker_timeout)
            if before is None:
                return []
            return _republish(connection, queue, before, after, limit=min(step, limit - len(taken)))

        while len(taken) < limit:
            some = self._database.write(work, durable=False)
            taken += some
            if len(some) < step:
                break
        return taken

    def queues(self) -> Sequence[str]:
        query = select(pending.c.queue).distinct().order_by(pending.c.queue)
        return self._database.read(lambda connection: connection.scalars(query).all())

    def prepare_partitions(self) -> None:
        if not self._database.is_sqlite:
            self._database.write(partitions.prepare)


@dataclass(frozen=True, slots=True)
class _Recovered:
    n_batches: int
    requeued: list[PendingRef]


def _recover_some(connection: Connection, max_attempts: int, limit: int) -> _Recovered:
    """As many expired batches as one transaction should hold, but at least one."""
    now = read_clock(connection)
    expired = (
        select(batches.c.id, batches.c.n_open)
        .where(batches.c.finished_at.is_(None), batches.c.lease_until < now)
        .order_by(batches.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    batch_ids: list[str] = []
    room = SWEEP_ROWS[connection.dialect.name]
    for row in connection.execute(expired).all():
        room -= row.n_open
        if batch_ids and room < 0:
            break
        batch_ids.append(row.id)
    if not batch_ids:
        return _Recovered(0, [])
    held = one_of(connection, pending.c.id, held_by(connection, batch_ids))
    end_exhausted(connection, held, max_attempts, now)
    _separate_suspects(connection, held)
    requeued = requeue(connection, held, now)
    finish(connection, batch_ids, "expired", now)
    return _Recovered(len(batch_ids), requeued)


def _separate_suspects(connection: Connection, held: ColumnElement[bool]) -> None:
    """Halve the groups of jobs whose leases keep running out, so that the one at fault ends up alone."""
    half = select((batches.c.n_open + 1) // 2).where(batches.c.id == pending.c.batch_id).scalar_subquery()
    limit = case((pending.c.group_limit < half, pending.c.group_limit), else_=half)
    suspects = held & (pending.c.attempts >= SUSPECT_ATTEMPTS)
    connection.execute(update(pending).where(suspects).values(group_limit=limit))


def _published_before(
    connection: Connection, queue: str, *, silent: bool, worker_timeout: float
) -> ColumnElement[Any] | None:
    """The time before which a message of `queue` must have been received if it still stood for its job.

    By priority: the newest mark, because queues are first in first out, but not later than what a living worker still
    holds back: behind a slow model that may be older than the newest mark by any time. When nothing is queued or
    buffered anywhere (`silent`): now. None when nothing can be said.
    """
    if silent:
        return literal(read_clock(connection))
    oldest = oldest_buffered(connection, queue, seen_within=worker_timeout)
    marks = {
        priority: min(mark, oldest.get(priority, mark)) for priority, mark in newest_marks(connection, queue).items()
    }
    return case(*((pending.c.priority == priority, mark) for priority, mark in marks.items())) if marks else None


def _republish(
    connection: Connection, queue: str, before: ColumnElement[Any], after: float, *, limit: int
) -> list[PendingRef]:
    doublings = case((pending.c.republished < MAX_DOUBLINGS, pending.c.republished), else_=MAX_DOUBLINGS)
    threshold = after * literal(1).op("<<")(doublings)
    orphans = (
        select(pending.c.id)
        .where(
            and_(pending.c.queue == queue, pending.c.batch_id.is_(None), pending.c.published_at < before - threshold)
        )
        .order_by(pending.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(
        update(pending)
        .where(pending.c.id.in_(orphans))
        .values(published_at=clock(), republished=pending.c.republished + 1)
        .returning(*REF_COLUMNS)
    ).mappings()
    return sorted((pending_ref(row) for row in rows), key=lambda ref: ref.id)
