"""Taking queued jobs for a batch.

Which of them: as many as their `group_limit`s allow, the jobs with the largest limits first. Job number k in that order
is taken when its limit is at least k, so the batch is never larger than the limit of any of its jobs, and is never
empty when something was queued.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, or_, select, text, true, update

from inferq_core.ids import BatchId, JobId
from inferq_core.states import Method
from inferq_core.store.part import REF_COLUMNS, pending_ref
from inferq_core.store.records import Claim, ClaimedJob
from inferq_core.store.sql import one_of, read_clock
from inferq_core.store.tables import batches, jobs, pending

# Rows are locked in id order, so that two claims never wait for each other; what another claim has locked is skipped.
# A batch id that is there already takes nothing: `batch` is empty then.
_POSTGRESQL_CLAIM = text("""
WITH moment AS MATERIALIZED (
    SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision) AS at
), locked AS MATERIALIZED (
    SELECT id, model, queue, priority, n_rows, group_limit, published_at FROM pending
    WHERE id = ANY (CAST(:ids AS uuid[])) AND batch_id IS NULL
    ORDER BY id FOR UPDATE SKIP LOCKED
), ranked AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY group_limit DESC NULLS FIRST, id) AS place FROM locked
), taken AS MATERIALIZED (
    SELECT id, n_rows FROM ranked WHERE group_limit IS NULL OR place <= group_limit
), batch AS (
    INSERT INTO batches (id, worker, claimed_at, lease_until, n_jobs, n_rows, n_open)
    SELECT CAST(:batch_id AS uuid), CAST(:worker AS text), moment.at, moment.at + CAST(:lease AS double precision),
        count(*), sum(taken.n_rows), count(*)
    FROM taken CROSS JOIN moment GROUP BY moment.at
    ON CONFLICT (id) DO NOTHING RETURNING id, claimed_at, lease_until
), claimed AS (
    UPDATE pending SET batch_id = batch.id, attempts = pending.attempts + 1 FROM taken CROSS JOIN batch
    WHERE pending.id = taken.id
    RETURNING pending.id, pending.model, pending.queue, pending.priority, pending.n_rows, pending.group_limit,
        pending.published_at, pending.attempts AS attempt,
        coalesce(pending.deadline_at <= batch.claimed_at, false) AS expired, batch.claimed_at, batch.lease_until
)
SELECT claimed.*, jobs.inputs, jobs.version, jobs.method, jobs.routing_hash, jobs.created_at, jobs.reply_to,
    jobs.traceparent
FROM claimed JOIN jobs ON jobs.id = claimed.id
UNION ALL
SELECT id, model, queue, priority, n_rows, group_limit, published_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL
FROM ranked WHERE place > group_limit
""").columns(pending.c.id)

_JOB_COLUMNS = (
    jobs.c.inputs,
    jobs.c.version,
    jobs.c.method,
    jobs.c.routing_hash,
    jobs.c.created_at,
    jobs.c.reply_to,
    jobs.c.traceparent,
)


def claim(connection: Connection, batch_id: BatchId, job_ids: Sequence[JobId], worker: str, lease: float) -> Claim:
    if connection.dialect.name == "postgresql":
        # A claim that is lost with the server's memory is a lease that ran out.
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        return _postgresql_claim(connection, batch_id, job_ids, worker, lease)
    return _sqlite_claim(connection, batch_id, job_ids, worker, lease)


def _postgresql_claim(
    connection: Connection, batch_id: BatchId, job_ids: Sequence[JobId], worker: str, lease: float
) -> Claim:
    rows = (
        connection.execute(
            _POSTGRESQL_CLAIM, {"ids": list(job_ids), "batch_id": batch_id, "worker": worker, "lease": lease}
        )
        .mappings()
        .all()
    )
    first = next((row for row in rows if row["attempt"] is not None), None)
    if first is None:
        return _held(connection, batch_id)
    return Claim(
        batch_id=batch_id,
        claimed_at=first["claimed_at"],
        lease_until=first["lease_until"],
        jobs=_claimed_jobs([row for row in rows if row["attempt"] is not None]),
        refused=tuple(pending_ref(row) for row in rows if row["attempt"] is None),
    )


def _sqlite_claim(
    connection: Connection, batch_id: BatchId, job_ids: Sequence[JobId], worker: str, lease: float
) -> Claim:
    """The same in steps: SQLite has no data-modifying WITH. The write lock is held, so nothing changes between them."""
    if connection.scalar(select(batches.c.id).where(batches.c.id == batch_id)) is not None:
        return _held(connection, batch_id)
    now = read_clock(connection)
    queued = one_of(connection, pending.c.id, job_ids) & pending.c.batch_id.is_(None)
    place = func.row_number().over(order_by=(pending.c.group_limit.desc().nulls_first(), pending.c.id))
    ranked = select(pending.c.id, pending.c.group_limit, place.label("place")).where(queued).subquery()
    taken = select(ranked.c.id).where(or_(ranked.c.group_limit.is_(None), ranked.c.place <= ranked.c.group_limit))
    counts = (
        connection.execute(
            update(pending)
            .where(pending.c.id.in_(taken))
            .values(batch_id=batch_id, attempts=pending.c.attempts + 1)
            .returning(pending.c.n_rows)
        )
        .scalars()
        .all()
    )
    if counts:
        connection.execute(
            insert(batches).values(
                id=batch_id,
                worker=worker,
                claimed_at=now,
                lease_until=now + lease,
                n_jobs=len(counts),
                n_rows=sum(counts),
                n_open=len(counts),
            )
        )
    held = _held(connection, batch_id, one_of(connection, pending.c.id, job_ids))
    refused = connection.execute(select(*REF_COLUMNS).where(queued).order_by(pending.c.id)).mappings()
    return Claim(batch_id, held.claimed_at, held.lease_until, held.jobs, tuple(pending_ref(row) for row in refused))


def _held(connection: Connection, batch_id: BatchId, among: ColumnElement[bool] | None = None) -> Claim:
    """What the batch holds now; nothing when there is no such batch. Without `among` it reads all of `pending`."""
    batch = connection.execute(select(batches).where(batches.c.id == batch_id)).one_or_none()
    if batch is None:
        now = read_clock(connection)
        return Claim(batch_id=batch_id, claimed_at=now, lease_until=now, jobs=(), refused=())
    rows = connection.execute(
        select(
            *REF_COLUMNS,
            pending.c.attempts.label("attempt"),
            func.coalesce(pending.c.deadline_at <= batch.claimed_at, False).label("expired"),
            *_JOB_COLUMNS,
        )
        .join_from(pending, jobs, jobs.c.id == pending.c.id)
        .where(pending.c.batch_id == batch_id, true() if among is None else among)
    ).mappings()
    return Claim(batch_id, batch.claimed_at, batch.lease_until, _claimed_jobs(rows.all()), ())


def _claimed_jobs(rows: Sequence[RowMapping]) -> tuple[ClaimedJob, ...]:
    return tuple(_claimed_job(row) for row in sorted(rows, key=lambda row: str(row["id"])))


def _claimed_job(row: RowMapping) -> ClaimedJob:
    return ClaimedJob(
        id=JobId(row["id"]),
        model=row["model"],
        n_rows=row["n_rows"],
        inputs=row["inputs"],
        version=row["version"],
        method=Method(row["method"]),
        routing_hash=row["routing_hash"],
        attempt=row["attempt"],
        created_at=row["created_at"],
        expired=bool(row["expired"]),
        reply_to=row["reply_to"],
        traceparent=row["traceparent"],
    )
