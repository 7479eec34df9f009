"""Taking queued jobs for a batch.

Which of them: as many as their `group_limit`s allow, the jobs with the largest limits first. Job number k in that order
is taken when its limit is at least k, so the batch is never larger than the limit of any of its jobs, and is never
empty when something was queued.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select, text

from inferq_core.ids import BatchId, JobId
from inferq_core.states import Method
from inferq_core.store.part import REF_COLUMNS, pending_ref
from inferq_core.store.records import Claim, ClaimedJob
from inferq_core.store.sql import SQLITE_CLOCK, json_text, read_clock, sqlite_cursor
from inferq_core.store.tables import batches, jobs, pending

# Rows are locked in id order, so that two claims never wait for each other; what another claim has locked is skipped.
# A batch id that is there already takes nothing: `batch` is empty then. The commit does not wait for the disk: a claim
# that is lost with the server's memory is a lease that ran out. Many values travel as one text, which costs this side a
# join instead of escaping each for an array.
_POSTGRESQL_CLAIM = text("""
WITH moment AS MATERIALIZED (
    SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision) AS at,
        set_config('synchronous_commit', 'off', true) AS relaxed
), locked AS MATERIALIZED (
    SELECT id, model, queue, priority, n_rows, group_limit, published_at FROM pending
    WHERE id = ANY (CAST(string_to_array(:ids, ',') AS uuid[])) AND batch_id IS NULL
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
SELECT CAST(claimed.id AS text) AS id, claimed.model, claimed.queue, claimed.priority, claimed.n_rows,
    claimed.group_limit, claimed.published_at, claimed.attempt, claimed.expired, claimed.claimed_at,
    claimed.lease_until, jobs.inputs, jobs.version, jobs.method, jobs.routing_hash, jobs.created_at, jobs.reply_to,
    jobs.traceparent
FROM claimed JOIN jobs ON jobs.id = claimed.id
UNION ALL
SELECT CAST(id AS text), model, queue, priority, n_rows, group_limit, published_at, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL
FROM ranked WHERE place > group_limit
""")

# SQLite has no data-modifying WITH: the same in steps. The write lock is held, so nothing changes between them.
_SQLITE_QUEUED = f"""
SELECT pending.id, pending.model, pending.queue, pending.priority, pending.n_rows, pending.group_limit,
    pending.published_at, pending.attempts + 1 AS attempt, {SQLITE_CLOCK} AS now,
    coalesce(pending.deadline_at <= {SQLITE_CLOCK}, 0) AS expired, jobs.inputs, jobs.version, jobs.method,
    jobs.routing_hash, jobs.created_at, jobs.reply_to, jobs.traceparent
FROM json_each(?) AS given CROSS JOIN pending ON pending.id = given.value CROSS JOIN jobs ON jobs.id = pending.id
WHERE pending.batch_id IS NULL
"""  # noqa: S608 - a constant
_SQLITE_BATCH = """
INSERT INTO batches (id, worker, claimed_at, lease_until, n_jobs, n_rows, n_open) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""
_SQLITE_TAKE = "UPDATE pending SET batch_id = ?, attempts = attempts + 1 WHERE id IN (SELECT value FROM json_each(?))"

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
    """Takes one statement on PostgreSQL, unless nothing could be taken."""
    if connection.dialect.name == "postgresql":
        return _postgresql_claim(connection, batch_id, job_ids, worker, lease)
    return _sqlite_claim(connection, batch_id, job_ids, worker, lease)


def _postgresql_claim(
    connection: Connection, batch_id: BatchId, job_ids: Sequence[JobId], worker: str, lease: float
) -> Claim:
    rows = (
        connection.execute(
            _POSTGRESQL_CLAIM, {"ids": ",".join(job_ids), "batch_id": batch_id, "worker": worker, "lease": lease}
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
    given = json_text(list(dict.fromkeys(job_ids)))
    with sqlite_cursor(connection) as cursor:
        queued = cursor.execute(_SQLITE_QUEUED, (given,)).fetchall()
        taken, refused = _by_limits(queued)
        if not taken:
            return _held(connection, batch_id)
        now = float(taken[0]["now"])
        sizes = (len(taken), sum(row["n_rows"] for row in taken), len(taken))
        if cursor.execute(_SQLITE_BATCH, (batch_id, worker, now, now + lease, *sizes)).rowcount == 0:
            return _held(connection, batch_id)
        cursor.execute(_SQLITE_TAKE, (batch_id, json_text([row["id"] for row in taken])))
    return Claim(
        batch_id=batch_id,
        claimed_at=now,
        lease_until=now + lease,
        jobs=_claimed_jobs(taken),
        refused=tuple(pending_ref(row) for row in sorted(refused, key=lambda row: str(row["id"]))),
    )


def _by_limits(queued: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """Those that are taken, and those that their limits refuse: the largest limits first, as many as they allow."""
    if all(row["group_limit"] is None for row in queued):
        return queued, ()
    ordered = sorted(
        queued, key=lambda row: (-(math.inf if row["group_limit"] is None else row["group_limit"]), row["id"])
    )
    places = [(row["group_limit"], place, row) for place, row in enumerate(ordered, start=1)]
    taken = [row for limit, place, row in places if limit is None or place <= limit]
    return taken, [row for limit, place, row in places if limit is not None and place > limit]


def _held(connection: Connection, batch_id: BatchId) -> Claim:
    """What the batch holds now; nothing when there is no such batch. Reads all of `pending`."""
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
        .where(pending.c.batch_id == batch_id)
    ).mappings()
    return Claim(batch_id, batch.claimed_at, batch.lease_until, _claimed_jobs(rows.all()), ())


def _claimed_jobs(rows: Sequence[Any]) -> tuple[ClaimedJob, ...]:
    return tuple(_claimed_job(row) for row in sorted(rows, key=lambda row: str(row["id"])))


def _claimed_job(row: Any) -> ClaimedJob:
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
