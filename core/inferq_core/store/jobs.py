"""Accepting jobs and reading them. The state is derived here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping, Select, Text, case, func, literal, literal_column, select, union_all

from inferq_core.errors import StoreUnavailable, UnknownJob
from inferq_core.ids import BatchId, JobId, parse_job_id, parse_job_ids
from inferq_core.states import ErrorCode, Method, Priority, State
from inferq_core.store import acceptance, cancelling
from inferq_core.store.part import REF_COLUMNS, Part, pending_ref
from inferq_core.store.records import Accepted, JobView, NewJob, PendingRef, StoredResult
from inferq_core.store.sql import read_one_of
from inferq_core.store.tables import idempotency_keys, jobs, pending, results

# Literals, not parameters: PostgreSQL must see that the selected and the grouped expression are the same.
UNFINISHED = case(
    (pending.c.batch_id.is_(None), literal_column(f"'{State.QUEUED}'", Text)),
    else_=literal_column(f"'{State.RUNNING}'", Text),
)

# Jobs that one transaction of `cancel` takes: SQLite lets one process write at a time.
CANCEL_CHUNK = 500
# A job that moves while it is to be cancelled is asked for again; it moves at most a few times a second.
CANCEL_TRIES = 20


class JobsPart(Part):
    """See `contract.Jobs`. `cancel` may take several transactions; each job is cancelled in one of them."""

    def accept(self, jobs: Sequence[NewJob]) -> Accepted:
        if not jobs or not acceptance.is_single(jobs):
            return self._database.write(lambda connection: acceptance.accept(connection, jobs))
        sqlite = self._database.is_sqlite
        return self._database.write_plainly(lambda cursor: acceptance.accept_plainly(cursor, jobs, sqlite=sqlite))

    def keyed(self, idempotency_key: str) -> JobId | None:
        query = select(idempotency_keys.c.job_id).where(idempotency_keys.c.key == idempotency_key)
        job_id = self._database.read(lambda connection: connection.scalar(query))
        return None if job_id is None else JobId(job_id)

    def state(self, job_id: JobId) -> State:
        known = canonical(job_id)
        try:
            return self.states([known])[known]
        except KeyError:
            raise unknown_job(job_id) from None

    def states(self, job_ids: Sequence[JobId]) -> Mapping[JobId, State]:
        known = parse_job_ids(job_ids)
        if not known:
            return {}
        rows = self._database.read(lambda connection: connection.execute(_states(connection, known)).all())
        return {JobId(row.id): State(row.state) for row in rows}

    def cancel(self, job_ids: Sequence[JobId]) -> Mapping[JobId, State]:
        ids = sorted({canonical(job_id) for job_id in job_ids})
        known = self.states(ids)
        for job_id in ids:
            if job_id not in known:
                raise unknown_job(job_id)
        before: dict[JobId, State] = {}
        for start in range(0, len(ids), CANCEL_CHUNK):
            before |= self._cancel(ids[start : start + CANCEL_CHUNK])
        return before

    def _cancel(self, job_ids: Sequence[JobId]) -> Mapping[JobId, State]:
        before: dict[JobId, State] = {}
        left = job_ids

        def work(connection: Connection) -> Mapping[JobId, State]:
            return cancelling.cancel(connection, left)

        for _ in range(CANCEL_TRIES):
            before |= self._database.write(work)
            left = [job_id for job_id in job_ids if job_id not in before]
            if not left:
                return before
        raise StoreUnavailable(f"{len(left)} jobs moved whenever they were to be cancelled: cancel them again")

    def queued(self, job_ids: Sequence[JobId]) -> Sequence[PendingRef]:
        known = parse_job_ids(job_ids)

        def work(connection: Connection) -> list[PendingRef]:
            wanted = read_one_of(connection, pending.c.id, known) & pending.c.batch_id.is_(None)
            rows = connection.execute(select(*REF_COLUMNS).where(wanted).order_by(pending.c.id)).mappings()
            return [pending_ref(row) for row in rows]

        return self._database.read(work)

    def view(self, job_id: JobId) -> JobView:
        known = canonical(job_id)
        query = view_query().where(jobs.c.id == known)
        row = self._database.read(lambda connection: connection.execute(query).mappings().one_or_none())
        if row is None:
            raise unknown_job(job_id)
        return view_of(row)

    def result(self, job_id: JobId) -> StoredResult | None:
        known = canonical(job_id)
        # One statement: a job that moves to the results between two would be seen in neither.
        query = select(results, pending.c.id.label("pending_id")).select_from(
            select(literal(known, results.c.id.type).label("id"))
            .subquery("wanted")
            .outerjoin(results, results.c.id == literal(known, results.c.id.type))
            .outerjoin(pending, pending.c.id == literal(known, pending.c.id.type))
        )
        row = self._database.read(lambda connection: connection.execute(query).mappings().one())
        if row["id"] is not None:
            return stored_result(row)
        if row["pending_id"] is None:
            raise unknown_job(job_id)
        return None

    def results(self, job_ids: Sequence[JobId]) -> Mapping[JobId, StoredResult]:
        known = parse_job_ids(job_ids)
        if not known:
            return {}

        def work(connection: Connection) -> Sequence[RowMapping]:
            query = select(results).where(read_one_of(connection, results.c.id, known))
            return connection.execute(query).mappings().all()

        return {JobId(row["id"]): stored_result(row) for row in self._database.read(work)}

    def replies(self, job_ids: Sequence[JobId]) -> Mapping[str, Sequence[StoredResult]]:
        if not job_ids:
            return {}

        def work(connection: Connection) -> Sequence[RowMapping]:
            wanted = read_one_of(connection, jobs.c.id, job_ids) & jobs.c.reply_to.is_not(None)
            query = select(results, jobs.c.reply_to).join_from(jobs, results, results.c.id == jobs.c.id).where(wanted)
            return connection.execute(query).mappings().all()

        replies: dict[str, list[StoredResult]] = {}
        for row in self._database.read(work):
            replies.setdefault(row["reply_to"], []).append(stored_result(row))
        return replies

    def counts(self) -> Mapping[tuple[str, State], int]:
        parts = [
            select(source.c.model, state.label("state"), func.count().label("n")).group_by(source.c.model, state)
            for source, state in ((pending, UNFINISHED), (results, results.c.state))
        ]
        rows = self._database.read(lambda connection: connection.execute(union_all(*parts)).all())
        return {(row.model, State(row.state)): row.n for row in rows}


def canonical(job_id: str) -> JobId:
    """`job_id` as it is stored. Raises UnknownJob when it is no id at all."""
    known = parse_job_id(job_id)
    if known is None:
        raise unknown_job(job_id)
    return known


def unknown_job(job_id: str) -> UnknownJob:
    return UnknownJob(
        f"this store has no job {job_id!r}: it was never accepted here, or was purged since. Check the id and "
        "INFERQ_STORE_URL"
    )


def _states(connection: Connection, ids: Sequence[JobId]) -> Any:
    """Both tables in one statement: a job that moves between two statements would be seen in neither."""
    return union_all(
        select(pending.c.id, UNFINISHED.label("state")).where(read_one_of(connection, pending.c.id, ids)),
        select(results.c.id, results.c.state).where(read_one_of(connection, results.c.id, ids)),
    )


def view_query() -> Select[Any]:
    """The columns that `view_of` takes, out of `jobs`, `pending` and `results`, of all jobs."""
    shown = (jobs.c.id, jobs.c.model, jobs.c.version, jobs.c.method, jobs.c.priority, jobs.c.queue, jobs.c.n_rows)
    return select(
        *shown,
        jobs.c.created_at,
        jobs.c.metadata,
        jobs.c.owner,
        func.coalesce(results.c.state, UNFINISHED).label("state"),
        func.coalesce(results.c.attempt, pending.c.attempts).label("attempts"),
    ).select_from(jobs.outerjoin(pending, pending.c.id == jobs.c.id).outerjoin(results, results.c.id == jobs.c.id))


def view_of(row: Mapping[Any, Any]) -> JobView:
    return JobView(
        id=JobId(row["id"]),
        state=State(row["state"]),
        model=row["model"],
        version=row["version"],
        method=Method(row["method"]),
        priority=Priority(row["priority"]),
        queue=row["queue"],
        n_rows=row["n_rows"],
        created_at=row["created_at"],
        attempts=row["attempts"],
        metadata=None if row["metadata"] is None else orjson.loads(row["metadata"]),
        owner=row["owner"],
    )


def stored_result(row: Mapping[Any, Any]) -> StoredResult:
    """From a row that has the columns of `results`."""
    return StoredResult(
        id=JobId(row["id"]),
        state=State(row["state"]),
        model=row["model"],
        version=row["version"],
        variant=row["variant"],
        outputs=None if row["outputs"] is None else orjson.loads(row["outputs"]),
        error_code=None if row["error_code"] is None else ErrorCode(row["error_code"]),
        error_message=row["error_message"],
        attempt=row["attempt"],
        batch_id=None if row["batch_id"] is None else BatchId(row["batch_id"]),
        batch_rows=row["batch_rows"],
        worker=row["worker"],
        created_at=row["created_at"],
        claimed_at=row["claimed_at"],
        predicted_at=row["predicted_at"],
        completed_at=row["completed_at"],
    )
