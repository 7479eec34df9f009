"""Writing results: jobs leave `pending` and enter `results` in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, exists, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.ids import BatchId, JobId
from inferq_core.states import ErrorCode, State
from inferq_core.store.outbox import POSTGRESQL_RECORD, SQLITE_LISTENING, Ended, is_listening, record
from inferq_core.store.records import BatchLog, Completed, Outcome
from inferq_core.store.sql import (
    SEPARATOR,
    SQLITE_CLOCK,
    json_text,
    kinds_text,
    one_of,
    read_clock,
    sqlite_cursor,
    storable,
)
from inferq_core.store.tables import batches, pending, results

# What many outcomes have in common is sent once, as their kind; outputs and ids are sent as one text each.
#
# The batch's row is locked first, by everything that takes jobs from a batch: two of them wait here and nowhere else.
# A job that was taken from the batch meanwhile does not match `batch_id` any more: that is the fence.
#
# The last steps write the outbox. While nobody listens they look at two empty tables.
_POSTGRESQL_COMPLETE = text(f"""
WITH batch AS MATERIALIZED (
    SELECT id, worker, claimed_at, CAST(extract(epoch FROM clock_timestamp()) AS double precision) AS now
    FROM batches WHERE id = CAST(:batch_id AS uuid) FOR UPDATE
), given AS (
    SELECT one.id, one.outputs, kind.*
    FROM unnest(CAST(string_to_array(:ids, ',') AS uuid[]), string_to_array(:outputs, :separator, ''),
        CAST(string_to_array(:kinds, ',') AS int[])) AS one (id, outputs, kind)
    JOIN json_to_recordset(CAST(:described AS json)) AS kind (number int, state text, error_code text,
        error_message text, version int, variant text, batch_rows int, predict_seconds double precision)
    ON kind.number = one.kind
), gone AS (
    DELETE FROM pending USING batch
    WHERE pending.id = ANY (CAST(string_to_array(:ids, ',') AS uuid[])) AND pending.batch_id = batch.id
    RETURNING pending.id, pending.model, pending.attempts, pending.created_at, pending.batch_id,
        batch.worker, batch.claimed_at, batch.now
), written AS (
    INSERT INTO results (id, state, model, version, variant, outputs, error_code, error_message, attempt, batch_id,
        batch_rows, worker, created_at, claimed_at, predicted_at, completed_at)
    SELECT gone.id, given.state, gone.model, given.version, given.variant, given.outputs, given.error_code,
        given.error_message, gone.attempts, gone.batch_id, given.batch_rows, gone.worker, gone.created_at,
        gone.claimed_at, gone.claimed_at + given.predict_seconds, gone.now
    FROM gone JOIN given ON given.id = gone.id
    RETURNING id, model, state
), {POSTGRESQL_RECORD}, logged AS (
    UPDATE batches SET n_jobs = :n_jobs, n_rows = :n_rows, predict_seconds = CAST(:seconds AS double precision),
        n_open = n_open - done.n,
        finished_at = CASE WHEN n_open <= done.n THEN batch.now END,
        outcome = CASE WHEN n_open <= done.n THEN 'completed' END
    FROM batch CROSS JOIN (SELECT count(*) AS n FROM written) AS done
    WHERE batches.id = batch.id AND batches.finished_at IS NULL AND done.n > 0
)
SELECT batch.now, written.n AS n_written, (SELECT count(*) FROM told) AS n_told,
    CASE WHEN written.n < :n_given THEN written.ids END AS ids
FROM batch CROSS JOIN (SELECT count(*) AS n, string_agg(CAST(id AS text), ',') AS ids FROM written) AS written
""")  # noqa: S608 - a constant

# SQLite has no data-modifying WITH: the same in steps, under its write lock.
_SQLITE_BATCH = f"""
SELECT id, worker, claimed_at, {SQLITE_CLOCK} AS now, {SQLITE_LISTENING} AS listening FROM batches WHERE id = ?
"""  # noqa: S608 - constants
_SQLITE_GONE = """
DELETE FROM pending WHERE id IN (SELECT value FROM json_each(?)) AND batch_id = ?
RETURNING id, model, attempts, created_at
"""
_SQLITE_RESULT = """
INSERT INTO results (id, state, model, version, variant, outputs, error_code, error_message, attempt, batch_id,
    batch_rows, worker, created_at, claimed_at, predicted_at, completed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SQLITE_LOG = """
UPDATE batches SET n_jobs = :n_jobs, n_rows = :n_rows, predict_seconds = :seconds, n_open = n_open - :done,
    finished_at = CASE WHEN n_open <= :done THEN :now END,
    outcome = CASE WHEN n_open <= :done THEN 'completed' END
WHERE id = :batch_id AND finished_at IS NULL
"""


def complete(connection: Connection, batch_id: BatchId, outcomes: Sequence[Outcome], log: BatchLog) -> Completed:
    """Write what the batch still holds. Raises ValueError for an outcome that is not terminal."""
    given = {outcome.id: outcome for outcome in reversed(outcomes)}
    for state in {outcome.state for outcome in outcomes}:
        if not state.terminal:
            job = next(outcome.id for outcome in outcomes if outcome.state is state)
            raise ValueError(f"job {job}: {state} is no outcome, it is not terminal")
    write = _postgresql_complete if connection.dialect.name == "postgresql" else _sqlite_complete
    ids, now, n_told = write(connection, batch_id, given, log)
    if len(ids) < len(given):
        ids |= _written_before(connection, batch_id, [given[id_] for id_ in given if id_ not in ids])
    completed_at = read_clock(connection) if now is None else now
    return Completed(frozenset(ids), completed_at, n_told)


def _written_before(connection: Connection, batch_id: BatchId, outcomes: Sequence[Outcome]) -> set[JobId]:
    """Of these, the ones that this batch wrote: the call may be repeated because its commit was in doubt.

    Whoever ended a job of the batch in its place (a cancellation, a recovery) left another state or code.
    """
    ids = one_of(connection, results.c.id, [outcome.id for outcome in outcomes])
    rows = connection.execute(
        select(results.c.id, results.c.state, results.c.error_code).where(ids, results.c.batch_id == batch_id)
    ).all()
    ends = {row.id: (row.state, row.error_code) for row in rows}
    return {outcome.id for outcome in outcomes if ends.get(outcome.id) == (outcome.state, outcome.error_code)}


def _postgresql_complete(
    connection: Connection, batch_id: BatchId, given: Mapping[JobId, Outcome], log: BatchLog
) -> tuple[set[JobId], float | None, int]:
    """The ids that were written, when, and how many deliveries of it there will be."""
    kinds, numbers = _kinds(given.values())
    parameters = {
        "batch_id": batch_id,
        "n_jobs": log.n_jobs,
        "n_rows": log.n_rows,
        "seconds": log.predict_seconds,
        "ids": ",".join(given),
        "outputs": SEPARATOR.join([outcome.outputs or "" for outcome in given.values()]),
        "separator": SEPARATOR,
        "kinds": ",".join(map(str, numbers)),
        "described": kinds_text(_KIND, kinds),
        "n_given": len(given),
    }
    row = connection.execute(_POSTGRESQL_COMPLETE, parameters).one_or_none()
    if row is None:
        return set(), None, 0
    ids = set(given) if row.n_written == len(given) else {JobId(id_) for id_ in (row.ids or "").split(",") if id_}
    return ids, float(row.now), int(row.n_told)


def _kinds(outcomes: Iterable[Outcome]) -> tuple[list[tuple[Any, ...]], list[int]]:
    """What the outcomes have in common, each once, and for each outcome its number, from 1."""
    kinds: dict[tuple[Any, ...], int] = {}
    numbers: list[int] = []
    last: tuple[Any, ...] = ()
    for outcome in outcomes:
        shared = _SHARED(outcome)
        if shared != last:  # those of one predict call follow each other
            last = shared
            number = kinds.setdefault(_kind(outcome), len(kinds) + 1)
        numbers.append(number)
    return list(kinds), numbers


_KIND = ("state", "error_code", "error_message", "version", "variant", "batch_rows", "predict_seconds")
_SHARED = attrgetter(*_KIND)


def _kind(outcome: Outcome) -> tuple[Any, ...]:
    """What _KIND names."""
    return (
        outcome.state.value,
        outcome.error_code and outcome.error_code.value,
        storable(outcome.error_message),
        outcome.version,
        outcome.variant,
        outcome.batch_rows,
        outcome.predict_seconds,
    )


def _sqlite_complete(
    connection: Connection, batch_id: BatchId, given: Mapping[JobId, Outcome], log: BatchLog
) -> tuple[set[JobId], float | None, int]:
    """The ids that were written, when, and how many deliveries of it there will be."""
    with sqlite_cursor(connection) as cursor:
        batch = cursor.execute(_SQLITE_BATCH, (batch_id,)).fetchone()
        if batch is None:
            return set(), None, 0
        gone = cursor.execute(_SQLITE_GONE, (json_text(list(given)), batch_id)).fetchall()
        if gone:
            now = batch["now"]
            cursor.executemany(_SQLITE_RESULT, [_result_row(job, given[job["id"]], batch, now) for job in gone])
            done = {
                "n_jobs": log.n_jobs,
                "n_rows": log.n_rows,
                "seconds": log.predict_seconds,
                "done": len(gone),
                "now": now,
                "batch_id": batch_id,
            }
            cursor.execute(_SQLITE_LOG, done)
        ids = {job["id"] for job in gone}
    n_told = 0
    if batch["listening"]:
        ended = [Ended(job["id"], job["model"], given[job["id"]].state) for job in gone]
        n_told = record(connection, ended, batch["now"])
    return ids, float(batch["now"]), n_told


def _result_row(job: Any, outcome: Outcome, batch: Any, now: float) -> tuple[Any, ...]:
    """The columns of `results`, in their order. `job` is a row of `pending`, `batch` one of `batches` or None."""
    batch_id, worker, claimed_at = (
        (None, None, None) if batch is None else (batch["id"], batch["worker"], batch["claimed_at"])
    )
    seconds = outcome.predict_seconds
    return (
        job["id"],
        outcome.state.value,
        job["model"],
        outcome.version,
        outcome.variant,
        outcome.outputs,
        outcome.error_code and outcome.error_code.value,
        storable(outcome.error_message),
        job["attempts"],
        batch_id,
        outcome.batch_rows,
        worker,
        job["created_at"],
        claimed_at,
        None if claimed_at is None or seconds is None else claimed_at + seconds,
        now,
    )


def end(
    connection: Connection,
    which: ColumnElement[bool],
    *,
    state: State,
    code: ErrorCode,
    message: str,
    now: float,
) -> list[JobId]:
    """End the pending jobs that match, with no outputs: the way of whoever is not the batch. The ids, in order.

    One that has a result already leaves `pending`, keeps its result, and is not among them (see `drop_ended`).
    """
    gone = connection.execute(delete(pending).where(which).returning(pending)).mappings().all()
    if not gone:
        return []
    held_by = {row["batch_id"] for row in gone if row["batch_id"] is not None}
    rows = connection.execute(select(batches).where(one_of(connection, batches.c.id, sorted(held_by)))).mappings()
    by_id = {row["id"]: row for row in rows}
    outcome = Outcome(id=JobId(""), state=state, error_code=code, error_message=message)
    insert_for = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    written = connection.execute(
        insert_for(results).on_conflict_do_nothing().returning(results.c.id, results.c.model),
        [
            dict(zip(results.c.keys(), _result_row(row, outcome, by_id.get(row["batch_id"]), now), strict=True))
            for row in gone
        ],
    ).all()
    if written and is_listening(connection):
        record(connection, [Ended(JobId(row.id), row.model, state) for row in written], now)
    return sorted(JobId(row.id) for row in written)


def drop_ended(connection: Connection, batch_id: BatchId, job_ids: Sequence[JobId]) -> int:
    """Take those of the batch's jobs that have a result already out of `pending`; how many.

    Nothing of ours makes a job pending that has ended, but whoever may submit has the right to. Completing does not
    look for that, since it would cost every batch: it fails as a whole, and this mends it.
    """
    holder = batches.c.id == batch_id
    connection.execute(select(batches.c.id).where(holder).with_for_update())
    has_ended = exists().where(results.c.id == pending.c.id)
    gone = connection.execute(
        delete(pending)
        .where(one_of(connection, pending.c.id, job_ids), pending.c.batch_id == batch_id, has_ended)
        .returning(pending.c.id)
    ).all()
    emptied = batches.c.n_open <= len(gone)
    connection.execute(
        update(batches)
        .where(holder, batches.c.finished_at.is_(None))
        .values(
            n_open=batches.c.n_open - len(gone),
            finished_at=case((emptied, read_clock(connection))),
            outcome=case((emptied, "completed")),
        )
    )
    return len(gone)
