"""Jobs that are run once more: read as they were submitted, and found by the job that they retry.

A job is retried once. The key `retry:ID` in `idempotency_keys` sees to that when several processes retry it, and tells
which job it became; `jobs.retry_of` tells the way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, LargeBinary, cast, func, select

from inferq_core.errors import JobUnfinished
from inferq_core.ids import JobId, new_job_id
from inferq_core.states import Method, Priority, State
from inferq_core.store.jobs import canonical, unknown_job
from inferq_core.store.part import Part
from inferq_core.store.records import NewJob, retry_key
from inferq_core.store.sql import one_of, read_one_of
from inferq_core.store.tables import idempotency_keys, jobs, pending, results

# Inputs that are held at once, in bytes; one job of more is held alone.
COPY_BYTES = 4 * 1024 * 1024


class RetryingPart(Part):
    """See `contract.Jobs.copies` and `contract.Jobs.retries`."""

    def copies(self, job_ids: Sequence[JobId]) -> Sequence[NewJob]:
        ids = [canonical(job_id) for job_id in job_ids]

        def work(connection: Connection) -> list[NewJob]:
            fitting = _fitting(connection, ids)
            query = select(jobs).where(read_one_of(connection, jobs.c.id, fitting))
            rows = {row.id: row for row in connection.execute(query)}
            return [_copy(rows[job_id]) for job_id in fitting]

        return self._database.read(work)

    def retries(self, job_ids: Sequence[JobId]) -> Mapping[JobId, JobId]:
        by_key = {retry_key(canonical(job_id)): job_id for job_id in job_ids}
        if not by_key:
            return {}

        def work(connection: Connection) -> Sequence[Any]:
            wanted = one_of(connection, idempotency_keys.c.key, list(by_key))
            return connection.execute(select(idempotency_keys.c.key, idempotency_keys.c.job_id).where(wanted)).all()

        return {by_key[row.key]: JobId(row.job_id) for row in self._database.read(work)}


def _fitting(connection: Connection, ids: Sequence[JobId]) -> list[JobId]:
    """As many of the jobs, from the first on, as may be held at once. Raises UnknownJob, JobUnfinished."""
    size = func.length(cast(jobs.c.inputs, LargeBinary)) if connection.dialect.name == "sqlite" else _OCTETS
    rows = {
        row.id: row
        for row in connection.execute(
            select(jobs.c.id, size.label("size"), results.c.state, pending.c.batch_id, pending.c.id.label("pending_id"))
            .select_from(
                jobs.outerjoin(results, results.c.id == jobs.c.id).outerjoin(pending, pending.c.id == jobs.c.id)
            )
            .where(read_one_of(connection, jobs.c.id, ids))
        )
    }
    fitting: list[JobId] = []
    room = COPY_BYTES
    for job_id in ids:
        row = rows.get(job_id)
        if row is None:
            raise unknown_job(job_id)
        if row.state is None:
            raise unfinished(job_id, State.QUEUED if row.batch_id is None else State.RUNNING)
        room -= row.size
        if fitting and room < 0:
            break
        fitting.append(job_id)
    return fitting


_OCTETS = func.octet_length(jobs.c.inputs)


def unfinished(job_id: str, state: State) -> JobUnfinished:
    return JobUnfinished(f"job {job_id} is still {state}, and only a job that has ended is retried: wait, or cancel it")


def _copy(row: Any) -> NewJob:
    """The job once more; it has as much time to its deadline as the first had."""
    return NewJob(
        id=new_job_id(),
        model=row.model,
        n_rows=row.n_rows,
        inputs=row.inputs,
        queue=row.queue,
        priority=Priority(row.priority),
        version=row.version,
        method=Method(row.method),
        deadline=None if row.deadline_at is None else row.deadline_at - row.created_at,
        routing_key=row.routing_key,
        routing_hash=row.routing_hash,
        metadata=row.metadata,
        retry_of=JobId(row.id),
        owner=row.owner,
    )
