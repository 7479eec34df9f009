"""Bodies of many rows, a job each.

Nothing is kept for each job: the ids of an upload share a millisecond that no other id has, so that its jobs are a
range of `pending` and of `results`, and how many succeeded is what the others leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Select, cast, exists, func, literal, select, text, union_all, update
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.errors import UnknownUpload, UploadEnded
from inferq_core.ids import JobId, UploadId, lowest_id_at, parse_job_id
from inferq_core.states import Method, Priority, State
from inferq_core.store import acceptance
from inferq_core.store.jobs import UNFINISHED
from inferq_core.store.part import Part
from inferq_core.store.records import Accepted
from inferq_core.store.sql import clock
from inferq_core.store.tables import NOT_SUCCEEDED, jobs, pending, results, uploads
from inferq_core.store.upload_records import Upload, UploadCounts, UploadEnd, UploadNow, UploadState, UploadStep

# Seconds without a word from the gateway that reads a body after which it is gone; it has a word every few.
SILENCE_S = 30.0
SILENT = "the gateway that read it is gone"

_READING = uploads.c.state == UploadState.READING


class UploadsPart(Part):
    """See `contract.Uploads`."""

    def is_quiet(self, started_ms: int) -> bool:
        first, after = lowest_id_at(started_ms), lowest_id_at(started_ms + 1)
        taken = select(
            exists().where(jobs.c.id >= first, jobs.c.id < after) | exists().where(uploads.c.started_ms == started_ms)
        )
        return not self._database.read(lambda connection: connection.scalar(taken))

    def add_rows(self, step: UploadStep) -> Accepted:
        def work(connection: Connection) -> Accepted:
            if not _counted(connection, step) and not (step.first == 0 and _begun(connection, step)):
                raise UploadEnded("it was cancelled, or another request with its Idempotency-Key goes on with it")
            return acceptance.accept(connection, step.jobs)

        return self._database.write(work)

    def resume_upload(self, wanted: Upload, reader: str) -> UploadNow | None:
        known = uploads.c.idempotency_key == wanted.idempotency_key
        statement = (
            update(uploads)
            .where(known, uploads.c.state.in_([UploadState.READING, UploadState.INCOMPLETE]))
            .where(uploads.c.model == wanted.model, uploads.c.method == wanted.method.value)
            .where(uploads.c.version.is_not_distinct_from(wanted.version))
            .values(reader=reader, state=UploadState.READING, reason=None, ended_at=None, heard_at=clock())
        )

        def work(connection: Connection) -> Row[Any] | None:
            connection.execute(statement)
            return connection.execute(_rows().where(known)).one_or_none()

        row = self._database.write(work)
        return None if row is None else _now(row)

    def hear_upload(self, upload_id: UploadId, reader: str, bytes_read: int) -> None:
        self._by_reader(upload_id, reader, {"heard_at": clock(), "bytes_read": bytes_read}, durable=False)

    def end_upload(self, upload_id: UploadId, reader: str, end: UploadEnd) -> None:
        values = {"state": end.state, "reason": end.reason, "bytes_read": end.bytes_read, "ended_at": clock()}
        self._by_reader(upload_id, reader, values, durable=True)

    def cancel_upload(self, upload_id: UploadId) -> UploadNow:
        statement = (
            update(uploads)
            .where(uploads.c.id == upload_id)
            .values(state=UploadState.CANCELLED, ended_at=func.coalesce(uploads.c.ended_at, clock()))
        )
        self._database.write(lambda connection: connection.execute(statement))
        return self.upload(upload_id)

    def upload(self, upload_id: str) -> UploadNow:
        known = _canonical(upload_id)
        query = _rows().where(uploads.c.id == known)
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise _unknown(upload_id)
        return _now(row)

    def newest_uploads(
        self, *, model: str | None = None, owner: str | None = None, before: UploadId | None = None, limit: int = 50
    ) -> Sequence[UploadNow]:
        query = _rows().order_by(uploads.c.id.desc()).limit(limit)
        for column, wanted in ((uploads.c.model, model), (uploads.c.owner, owner)):
            if wanted is not None:
                query = query.where(column == wanted)
        if before is not None:
            query = query.where(uploads.c.id < before)
        return [_now(row) for row in self._database.read(lambda connection: connection.execute(query).all())]

    def upload_counts(self, upload_id: str) -> UploadCounts:
        ids = self.upload(upload_id).upload.ids
        query = _counts(UploadId(_canonical(upload_id)), *ids.bounds)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        counted = {row.state: row.n for row in rows}
        accepted = counted.pop("accepted", None)
        if accepted is None:  # purged between the two
            raise _unknown(upload_id)
        states = {State(state): n for state, n in counted.items()}
        return UploadCounts(accepted, states | {State.SUCCEEDED: max(accepted - sum(states.values()), 0)})

    def open_rows(self, upload_id: UploadId, *, before: JobId | None = None, limit: int = 500) -> Sequence[JobId]:
        ids = self.upload(upload_id).upload.ids
        first, after = ids.bounds
        query = (
            select(pending.c.id)
            .where(pending.c.id >= first, pending.c.id < (before or after))
            .order_by(pending.c.id.desc())
            .limit(limit)
        )
        found = self._database.read(lambda connection: connection.scalars(query).all())
        return [JobId(job_id) for job_id in found if ids.has(JobId(job_id))]

    def _by_reader(self, upload_id: UploadId, reader: str, values: dict[str, Any], *, durable: bool) -> None:
        statement = update(uploads).where(uploads.c.id == upload_id, uploads.c.reader == reader, _READING)
        self._database.write(lambda connection: connection.execute(statement.values(values)), durable=durable)


def _counted(connection: Connection, step: UploadStep) -> bool:
    """Whether the rows are counted now, or were by a call whose answer was lost."""
    reached = step.first + len(step.jobs)
    statement = (
        update(uploads)
        .where(uploads.c.id == step.upload.id, uploads.c.reader == step.reader, _READING)
        .where(uploads.c.accepted.in_([step.first, reached]))
        .values(accepted=reached, rows_digest=step.rows_digest, bytes_read=step.bytes_read, heard_at=clock())
    )
    return connection.execute(statement).rowcount == 1


def _begun(connection: Connection, step: UploadStep) -> bool:
    insert_for = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    upload = step.upload
    statement = insert_for(uploads).values(
        id=upload.id,
        owner=upload.owner,
        idempotency_key=upload.idempotency_key,
        model=upload.model,
        version=upload.version,
        method=upload.method.value,
        priority=upload.priority.value,
        deadline=upload.deadline,
        metadata=upload.metadata,
        format=upload.format,
        secret=upload.secret.hex(),
        started_ms=upload.started_ms,
        bytes_total=upload.bytes_total,
        reader=step.reader,
        accepted=len(step.jobs),
        rows_digest=step.rows_digest,
        bytes_read=step.bytes_read,
        state=UploadState.READING,
        created_at=clock(),
        heard_at=clock(),
    )
    begun = statement.on_conflict_do_nothing().returning(uploads.c.id)
    return connection.execute(begun).one_or_none() is not None


def _rows() -> Select[Any]:
    return select(uploads, clock().label("now"))


def _counts(upload_id: UploadId, first: JobId, after: JobId) -> Any:
    """One statement: jobs that move, and rows that come meanwhile, are each counted once."""
    ended = (results.c.id >= first) & (results.c.id < after) & text(NOT_SUCCEEDED)
    return union_all(
        select(literal("accepted").label("state"), uploads.c.accepted.label("n")).where(uploads.c.id == upload_id),
        select(UNFINISHED, cast(func.count(), BigInteger))
        .where(pending.c.id >= first, pending.c.id < after)
        .group_by(UNFINISHED),
        select(results.c.state, cast(func.count(), BigInteger)).where(ended).group_by(results.c.state),
    )


def _now(row: Row[Any]) -> UploadNow:
    lost = row.state == UploadState.READING and row.heard_at < row.now - SILENCE_S
    return UploadNow(
        upload=Upload(
            id=UploadId(row.id),
            owner=row.owner,
            idempotency_key=row.idempotency_key,
            model=row.model,
            version=row.version,
            method=Method(row.method),
            priority=Priority(row.priority),
            deadline=row.deadline,
            metadata=row.metadata,
            format=row.format,
            secret=bytes.fromhex(row.secret),
            started_ms=row.started_ms,
            bytes_total=row.bytes_total,
        ),
        state=UploadState.INCOMPLETE if lost else UploadState(row.state),
        accepted=row.accepted,
        rows_digest=row.rows_digest,
        bytes_read=row.bytes_read,
        reason=SILENT if lost else row.reason,
        created_at=row.created_at,
        ended_at=row.heard_at if lost else row.ended_at,
    )


def _canonical(upload_id: str) -> str:
    known = parse_job_id(upload_id)
    if known is None:
        raise _unknown(upload_id)
    return known


def _unknown(upload_id: str) -> UnknownUpload:
    return UnknownUpload(f"this store has no upload {upload_id!r}: it was never begun, or was purged since")
