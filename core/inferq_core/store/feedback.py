"""Ground truth for jobs, posted any time later. History is kept, the last one counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select

from inferq_core.errors import InvalidInput
from inferq_core.ids import JobId, parse_job_ids
from inferq_core.store.jobs import canonical, unknown_job
from inferq_core.store.part import Part
from inferq_core.store.records import FeedbackRecord
from inferq_core.store.sql import read_clock, read_one_of, strict_json_text
from inferq_core.store.tables import feedback as history
from inferq_core.store.tables import jobs


class FeedbackPart(Part):
    """See `contract.Jobs.add_feedback` and `contract.Jobs.feedback`."""

    def add_feedback(self, feedback: Sequence[tuple[JobId, Any]]) -> None:
        rows = [{"job_id": canonical(job_id), "actual": _actual_text(job_id, actual)} for job_id, actual in feedback]
        if not rows:
            return
        ids = sorted({row["job_id"] for row in rows})

        def work(connection: Connection) -> None:
            known = set(connection.scalars(select(jobs.c.id).where(read_one_of(connection, jobs.c.id, ids))))
            for id_ in ids:
                if id_ not in known:
                    raise unknown_job(id_)
            now = read_clock(connection)
            values = [row | {"created_at": now} for row in rows]
            connection.execute(insert(history).returning(history.c.id), values).all()

        self._database.write(work)

    def feedback(self, job_ids: Sequence[JobId]) -> Mapping[JobId, FeedbackRecord]:
        known = parse_job_ids(job_ids)

        def work(connection: Connection) -> Mapping[JobId, FeedbackRecord]:
            latest = (
                select(func.max(history.c.id))
                .where(read_one_of(connection, history.c.job_id, known))
                .group_by(history.c.job_id)
            )
            rows = connection.execute(select(history).where(history.c.id.in_(latest))).all()
            return {
                JobId(row.job_id): FeedbackRecord(JobId(row.job_id), orjson.loads(row.actual), row.created_at)
                for row in rows
            }

        return self._database.read(work)


def _actual_text(job_id: str, actual: Any) -> str:
    try:
        return strict_json_text(actual)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"ground truth of job {job_id} cannot be stored: {error}") from error
