"""All that is known of one job, for people who ask what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping, Select, select

from inferq_core.ids import BatchId, JobId, parse_job_ids
from inferq_core.store.jobs import JobsPart, canonical, stored_result, unknown_job, view_of, view_query
from inferq_core.store.records import FeedbackRecord, Holding, JobLife, JobNow, StoredResult, retry_key
from inferq_core.store.sql import read_one_of
from inferq_core.store.tables import batches, feedback, jobs, pending, results

# Goes before the names of the columns of `results`, of which `jobs` has some too.
RESULT = "result_"


class LifePart(JobsPart):
    """See `contract.Jobs.now_of`, `contract.Jobs.life` and `contract.Jobs.inputs`."""

    def now_of(self, job_ids: Sequence[JobId]) -> Mapping[JobId, JobNow]:
        known = parse_job_ids(job_ids)

        def work(connection: Connection) -> Sequence[RowMapping]:
            wanted = read_one_of(connection, jobs.c.id, known)
            return connection.execute(_with_result(view_query()).where(wanted)).mappings().all()

        return {JobId(row["id"]): JobNow(view_of(row), _result(row)) for row in self._database.read(work)}

    def life(self, job_id: JobId) -> JobLife:
        known = canonical(job_id)
        row = self._database.read(lambda connection: connection.execute(_life(known)).mappings().one_or_none())
        if row is None:
            raise unknown_job(job_id)
        history = select(feedback).where(feedback.c.job_id == known).order_by(feedback.c.id)
        truths = self._database.read(lambda connection: connection.execute(history).all())
        retried_as = self.keyed(retry_key(known))
        return JobLife(
            view=view_of(row),
            deadline_at=row["deadline_at"],
            idempotency_key=row["idempotency_key"],
            routing_key=row["routing_key"],
            published_at=row["published_at"],
            republished=row["republished"] or 0,
            holding=_holding(row),
            result=_result(row),
            feedback=[FeedbackRecord(known, orjson.loads(truth.actual), truth.created_at) for truth in truths],
            retry_of=None if row["retry_of"] is None else JobId(row["retry_of"]),
            retried_as=retried_as,
            traceparent=row["traceparent"],
        )

    def inputs(self, job_id: JobId) -> Any:
        known = canonical(job_id)
        text = self._database.read(
            lambda connection: connection.scalar(select(jobs.c.inputs).where(jobs.c.id == known))
        )
        if text is None:
            raise unknown_job(job_id)
        return orjson.loads(text)


def _life(job_id: JobId) -> Select[Any]:
    """All in one statement: a job that moves to the results between two would be seen in neither."""
    return (
        _with_result(view_query())
        .add_columns(
            jobs.c.deadline_at,
            jobs.c.idempotency_key,
            jobs.c.routing_key,
            jobs.c.retry_of,
            jobs.c.traceparent,
            pending.c.published_at,
            pending.c.republished,
            batches.c.id.label("batch_id"),
            batches.c.worker,
            batches.c.claimed_at,
            batches.c.lease_until,
        )
        .outerjoin(batches, batches.c.id == pending.c.batch_id)
        .where(jobs.c.id == job_id)
    )


def _with_result(query: Select[Any]) -> Select[Any]:
    return query.add_columns(*(column.label(RESULT + column.name) for column in results.c))


def _holding(row: RowMapping) -> Holding | None:
    if row["batch_id"] is None:
        return None
    return Holding(BatchId(row["batch_id"]), row["worker"], row["claimed_at"], row["lease_until"])


def _result(row: RowMapping) -> StoredResult | None:
    if row[f"{RESULT}id"] is None:
        return None
    return stored_result({column.name: row[RESULT + column.name] for column in results.c})
