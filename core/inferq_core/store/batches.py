"""What workers do with batches: claim, renew, complete, give back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, case, literal, select, update
from sqlalchemy.exc import IntegrityError

from inferq_core.ids import BatchId, JobId, parse_job_ids
from inferq_core.logging import get_logger
from inferq_core.states import ErrorCode, State
from inferq_core.store import claiming, completion
from inferq_core.store.part import REF_COLUMNS, Part, pending_ref
from inferq_core.store.records import BatchLog, Claim, Completed, Outcome, PendingRef, Recovered
from inferq_core.store.sql import clock, one_of, read_clock
from inferq_core.store.tables import batches, pending

logger = get_logger(__name__)


class BatchesPart(Part):
    """See `contract.Batches`."""

    def claim(self, batch_id: BatchId, job_ids: Sequence[JobId], *, worker: str, lease: float) -> Claim:
        known = parse_job_ids(job_ids)
        return self._database.write(
            lambda connection: claiming.claim(connection, batch_id, known, worker, lease),
            durable=False,
            single=True,
        )

    def renew(self, batch_id: BatchId, *, lease: float) -> bool:
        statement = (
            update(batches)
            .where(batches.c.id == batch_id, batches.c.finished_at.is_(None))
            .values(lease_until=clock() + lease)
        )
        return self._database.write(
            lambda connection: connection.execute(statement).rowcount == 1, durable=False, single=True
        )

    def complete(self, batch_id: BatchId, outcomes: Sequence[Outcome], log: BatchLog) -> Completed:
        def work(connection: Connection) -> Completed:
            return completion.complete(connection, batch_id, outcomes, log)

        try:
            return self._database.write(work, single=True)
        except IntegrityError:
            job_ids = [outcome.id for outcome in outcomes]
            dropped = self._database.write(lambda connection: completion.drop_ended(connection, batch_id, job_ids))
            if not dropped:
                raise
            logger.warning("ended_jobs_were_pending", batch_id=batch_id, jobs=dropped)
            return self._database.write(work, single=True)

    def release(self, batch_id: BatchId, *, max_attempts: int) -> Recovered:
        def work(connection: Connection) -> Recovered:
            if not lock_batch(connection, batch_id):
                return Recovered((), ())
            now = read_clock(connection)
            mine = one_of(connection, pending.c.id, held_by(connection, [batch_id]))
            failed = end_exhausted(connection, mine, max_attempts, now)
            requeued = requeue(connection, mine, now)
            finish(connection, [batch_id], "released", now)
            return Recovered(requeued, failed)

        return self._database.write(work)

    def recover(
        self, batch_id: BatchId, *, code: ErrorCode, message: str, max_solo_crashes: int, max_attempts: int
    ) -> Recovered:
        def work(connection: Connection) -> Recovered:
            if not lock_batch(connection, batch_id):
                return Recovered((), ())
            now = read_clock(connection)
            held = held_by(connection, [batch_id])
            _blame(connection, held)
            guilty = (pending.c.solo_crashes >= max_solo_crashes) | (pending.c.attempts >= max_attempts)
            mine = one_of(connection, pending.c.id, held)
            failed = completion.end(connection, mine & guilty, state=State.FAILED, code=code, message=message, now=now)
            requeued = requeue(connection, mine, now)
            finish(connection, [batch_id], "lost", now)
            return Recovered(requeued, failed)

        return self._database.write(work)


def lock_batch(connection: Connection, batch_id: BatchId) -> bool:
    """Lock the batch's row: whatever takes jobs from it waits here. False when it is finished or unknown."""
    return (
        connection.scalar(
            select(batches.c.id).where(batches.c.id == batch_id, batches.c.finished_at.is_(None)).with_for_update()
        )
        is not None
    )


def held_by(connection: Connection, batch_ids: Sequence[str]) -> list[str]:
    """Ids of the jobs that the batches hold. Reads all of `pending`, which is small and has no index on `batch_id`."""
    return list(connection.scalars(select(pending.c.id).where(one_of(connection, pending.c.batch_id, batch_ids))))


def requeue(connection: Connection, which: ColumnElement[bool], now: float) -> list[PendingRef]:
    """Give the jobs back to the queue. Their message was received, so the count of lost ones starts anew."""
    rows = connection.execute(
        update(pending).where(which).values(batch_id=None, published_at=now, republished=0).returning(*REF_COLUMNS)
    ).mappings()
    return sorted((pending_ref(row) for row in rows), key=lambda ref: ref.id)


def end_exhausted(connection: Connection, which: ColumnElement[bool], max_attempts: int, now: float) -> list[JobId]:
    """End those of the jobs that were claimed too often, whatever ended each claim."""
    message = f"its batches ended without a result {max_attempts} times"
    exhausted = which & (pending.c.attempts >= max_attempts)
    code = ErrorCode.WORKER_LOST
    return completion.end(connection, exhausted, state=State.FAILED, code=code, message=message, now=now)


def finish(connection: Connection, batch_ids: Sequence[str], outcome: str, now: float) -> None:
    connection.execute(
        update(batches)
        .where(one_of(connection, batches.c.id, batch_ids))
        .values(finished_at=now, outcome=outcome, n_open=0)
    )


def _blame(connection: Connection, held: Sequence[str]) -> None:
    """Halve the group in which these jobs may run; one that died alone has nobody to share the blame with."""
    half = literal((len(held) + 1) // 2)
    limit = case((pending.c.group_limit < half, pending.c.group_limit), else_=half)
    connection.execute(
        update(pending)
        .where(one_of(connection, pending.c.id, held))
        .values(group_limit=limit, solo_crashes=pending.c.solo_crashes + (1 if len(held) == 1 else 0))
    )
