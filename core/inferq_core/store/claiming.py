"""Taking queued jobs for a batch.

Which of them: as many as their `group_limit`s allow, the jobs with the largest limits first. Job number k in that order
is taken when its limit is at least k, so the batch is never larger than the limit of any of its jobs, and is never
empty when something was queued.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, func, select, text

from inferq_core.ids import BatchId, JobId
from inferq_core.states import Method
from inferq_core.store.part import REF_COLUMNS, pending_ref
from inferq_core.store.records import Claim, ClaimedJob, PendingRef
from inferq_core.store.sql import SEPARATOR, SQLITE_CLOCK, json_text, read_clock, read_one_of, sqlite_cursor
from inferq_core.store.tables import batches, jobs, pending

# Rows are locked in id order, so that two claims never wait for each other; what another claim has locked is skipped.
# A batch id that is there already takes nothing: `batch` is empty then. The commit does not wait for the disk: a claim
# that is lost with the server's memory is a lease that ran out. Many values travel as one text, which costs this side a
# join instead of escaping each for an array; and so do they come back, one row for all jobs of a kind.
_POSTGRESQL_CLAIM = text("""
WITH moment AS MATERIALIZED (
    SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision) AS at,
        set_config('synchronous_commit', 'off', true) AS relaxed
), locked AS MATERIALIZED (
    SELECT ctid AS at, id, n_rows, group_limit FROM pending
    WHERE id = ANY (CAST(string_to_array(:ids, ',') AS uuid[])) AND batch_id IS NULL
    ORDER BY id FOR UPDATE SKIP LOCKED
), taken AS MATERIALIZED (
    SELECT at, n_rows
    FROM (SELECT *, row_number() OVER (ORDER BY group_limit DESC NULLS FIRST, id) AS place FROM locked) AS ranked
    WHERE group_limit IS NULL OR place <= group_limit
), batch AS (
    INSERT INTO batches (id, worker, claimed_at, lease_until, n_jobs, n_rows, n_open)
    SELECT CAST(:batch_id AS uuid), CAST(:worker AS text), moment.at, moment.at + CAST(:lease AS double precision),
        count(*), sum(taken.n_rows), count(*)
    FROM taken CROSS JOIN moment GROUP BY moment.at
    ON CONFLICT (id) DO NOTHING RETURNING id, claimed_at, lease_until
), claimed AS (
    UPDATE pending SET batch_id = batch.id, attempts = pending.attempts + 1 FROM taken CROSS JOIN batch
    WHERE pending.ctid = taken.at
    RETURNING pending.id, pending.model, pending.n_rows, pending.attempts AS attempt,
        coalesce(pending.deadline_at <= batch.claimed_at, false) AS expired, batch.claimed_at, batch.lease_until
)
SELECT claimed.model, claimed.attempt, claimed.expired, jobs.version, jobs.method, jobs.reply_to, jobs.traceparent,
    claimed.claimed_at, claimed.lease_until, (SELECT count(*) FROM locked) AS n_locked,
    string_agg(CAST(claimed.id AS text), ',') AS ids, string_agg(jobs.inputs, :separator) AS inputs,
    string_agg(CAST(claimed.n_rows AS text), ',') AS n_rows,
    string_agg(CAST(jobs.routing_hash AS text), ',') AS routing_hashes,
    string_agg(CAST(jobs.created_at AS text), ',') AS created_at
FROM claimed JOIN jobs ON jobs.id = claimed.id
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
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

_ID = itemgetter(ClaimedJob._fields.index("id"))
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
    """Takes one statement on PostgreSQL, unless nothing could be taken, or not all."""
    if connection.dialect.name == "postgresql":
        return _postgresql_claim(connection, batch_id, job_ids, worker, lease)
    return _sqlite_claim(connection, batch_id, job_ids, worker, lease)


def _postgresql_claim(
    connection: Connection, batch_id: BatchId, job_ids: Sequence[JobId], worker: str, lease: float
) -> Claim:
    values = {
        "ids": ",".join(job_ids),
        "batch_id": batch_id,
        "worker": worker,
        "lease": lease,
        "separator": SEPARATOR,
    }
    kinds = connection.execute(_POSTGRESQL_CLAIM, values).all()
    if not kinds:
        return _held(connection, batch_id)
    taken = _in_order(chain.from_iterable(map(_of_kind, kinds)))
    some_refused = len(taken) < kinds[0].n_locked
    return Claim(
        batch_id=batch_id,
        claimed_at=kinds[0].claimed_at,
        lease_until=kinds[0].lease_until,
        jobs=taken,
        refused=_still_queued(connection, job_ids) if some_refused else (),
    )


def _of_kind(kind: Any) -> Iterable[ClaimedJob]:
    """The jobs of one row of the claim."""
    return map(
        ClaimedJob,
        kind.ids.split(","),
        repeat(kind.model),
        map(int, kind.n_rows.split(",")),
        kind.inputs.split(SEPARATOR),
        repeat(kind.version),
        repeat(Method(kind.method)),
        map(int, kind.routing_hashes.split(",")),
        repeat(kind.attempt),
        map(float, kind.created_at.split(",")),
        repeat(kind.expired),
        repeat(kind.reply_to),
        repeat(kind.traceparent),
    )


def _still_queued(connection: Connection, job_ids: Sequence[JobId]) -> Sequence[PendingRef]:
    """Those that the claim left, in id order. One that another claim took meanwhile drops out; it needs no message."""
    rows = connection.execute(
        select(*REF_COLUMNS).where(read_one_of(connection, pending.c.id, job_ids), pending.c.batch_id.is_(None))
    ).mappings()
    return sorted(map(pending_ref, rows), key=lambda ref: ref.id)


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


def _in_order(claimed: Iterable[ClaimedJob]) -> tuple[ClaimedJob, ...]:
    return tuple(sorted(claimed, key=_ID))


def _claimed_jobs(rows: Sequence[Any]) -> tuple[ClaimedJob, ...]:
    methods = {row["method"]: Method(row["method"]) for row in rows}
    return _in_order(
        ClaimedJob(
            row["id"],
            row["model"],
            row["n_rows"],
            row["inputs"],
            row["version"],
            methods[row["method"]],
            row["routing_hash"],
            row["attempt"],
            row["created_at"],
            bool(row["expired"]),
            row["reply_to"],
            row["traceparent"],
        )
        for row in rows
    )
