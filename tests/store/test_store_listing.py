"""The newest jobs, found by walking an index from its end."""

import re

import pytest
from given import LOG, accepted, claimed, finished, new_job, succeeded
from sqlalchemy import event, text

from inferq_core.ids import JobId, new_batch_id
from inferq_core.states import ErrorCode, Priority, State
from inferq_core.store import listing
from inferq_core.store.records import Outcome


def ids_of(page):
    return [job.id for job in page.jobs]


def failed(store, n=1, **options):
    batch_id, ids = claimed(store, n, **options)
    outcomes = [Outcome(id_, State.FAILED, error_code=ErrorCode.MODEL_ERROR, error_message="no") for id_ in ids]
    store.complete(batch_id, outcomes, LOG)
    return ids


def made_at(milliseconds, n=0):
    """An id as if made then."""
    return JobId(f"{milliseconds:012x}"[:8] + "-" + f"{milliseconds:012x}"[8:] + f"-7000-8000-{n:012x}")


def test_the_newest_first_whatever_their_state(store):
    done, lost = finished(store, 2), failed(store)
    waiting = accepted(store, 2)
    _, running = claimed(store, 2)
    everything = sorted([*done, *lost, *waiting, *running], reverse=True)
    page = store.newest()
    assert (ids_of(page), page.reached) == (everything, None)
    assert {job.id: job.state for job in page.jobs} == store.states(everything)
    assert ids_of(store.newest(limit=3)) == everything[:3]


def test_a_row_says_what_people_ask_for(store):
    (job_id,) = accepted(store, model="text", n_rows=5, priority=Priority.BULK, queue="heavy")
    (row,) = store.newest().jobs
    assert (row.model, row.n_rows, row.priority, row.queue, row.attempts) == ("text", 5, Priority.BULK, "heavy", 0)
    assert (row.version, row.completed_at, row.error_code) == (None, None, None)
    assert row.created_at == store.view(job_id).created_at
    batch_id = new_batch_id()
    store.claim(batch_id, [job_id], worker="worker-1", lease=60)
    assert store.newest().jobs[0].attempts == 1
    store.complete(batch_id, [succeeded(job_id)], LOG)
    (row,) = store.newest().jobs
    assert (row.state, row.version, row.attempts) == (State.SUCCEEDED, 1, 1)
    assert row.completed_at == store.result(job_id).completed_at


def test_filters(store):
    done = finished(store, 2, model="digits") + finished(store, model="text")
    lost = failed(store, model="digits") + failed(store, model="text")
    waiting = accepted(store, 2, model="digits")
    _, running = claimed(store, 1, model="text")
    gone = accepted(store)
    store.cancel(gone)
    for state, expected in (
        (State.SUCCEEDED, done),
        (State.FAILED, lost),
        (State.QUEUED, waiting),
        (State.RUNNING, running),
        (State.CANCELLED, gone),
        (State.EXPIRED, []),
    ):
        assert ids_of(store.newest(state=state)) == sorted(expected, reverse=True)
    assert ids_of(store.newest(model="text")) == sorted([done[2], lost[1], *running], reverse=True)
    assert ids_of(store.newest(model="text", state=State.FAILED)) == [lost[1]]
    assert ids_of(store.newest(model="nobody")) == []


def test_only_of_the_version_that_answered(store):
    batch_id, ids = claimed(store, 2)
    accepted(store)
    outcomes = [succeeded(id_)._replace(version=number) for id_, number in zip(ids, (1, 2), strict=True)]
    store.complete(batch_id, outcomes, LOG)
    assert ids_of(store.newest(version=2)) == [ids[1]]
    assert ids_of(store.newest(version=2, state=State.QUEUED)) == []
    assert ids_of(store.newest(version=3)) == []


def test_since_and_before_are_by_id(store):
    ids = [made_at(1_700_000_000_000 + 1000 * n) for n in range(5)]
    store.accept([new_job(id=id_) for id_ in ids])
    assert ids_of(store.newest(since=1_700_000_002.0)) == [ids[4], ids[3], ids[2]]
    assert ids_of(store.newest(before=ids[2])) == [ids[1], ids[0]]
    assert ids_of(store.newest(since=1_700_000_001.0, before=ids[3], limit=1)) == [ids[2]]


def test_pages_meet(store):
    ids = sorted([*accepted(store, 5), *finished(store, 6)], reverse=True)
    first = store.newest(limit=4)
    second = store.newest(limit=4, before=first.reached)
    third = store.newest(limit=4, before=second.reached)
    assert [*ids_of(first), *ids_of(second), *ids_of(third)] == ids
    assert (first.reached, third.reached) == (ids[3], None)


def test_it_gives_up_after_looking_at_many_and_says_where(store, monkeypatch):
    monkeypatch.setattr(listing, "FIRST_WINDOW", 10)
    monkeypatch.setattr(listing, "LAST_WINDOW", 10)
    monkeypatch.setattr(listing, "LOOK_AT", 30)
    (rare,) = accepted(store, model="rare")
    ids = sorted(accepted(store, 50), reverse=True)
    page = store.newest(model="rare", limit=5)
    assert (ids_of(page), page.reached) == ([], ids[29])
    page = store.newest(model="rare", limit=5, before=page.reached)
    assert (ids_of(page), page.reached) == ([rare], None)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limit": 3},
        {"model": "digits"},
        {"state": State.SUCCEEDED},
        {"state": State.FAILED},
        {"state": State.FAILED, "model": "digits", "since": 1.0},
        {"state": State.QUEUED},
        {"since": 1.0},
    ],
    ids=str,
)
def test_no_table_is_read_whole(store, options, monkeypatch):
    monkeypatch.setattr(listing, "LOOK_AT", 100)
    fill(store)
    options = {**options, "before": store.newest(limit=1).jobs[0].id}
    plans = explained(store, lambda: store.newest(**options))
    assert len(plans) == 2
    for plan in plans:
        whole = [step for step in plan if WALKS[store._database.dialect].search(step)]
        assert whole == [], plan


# A walk over a whole table; one along an index ends with the limit. The rows of `fill` are in the default partitions.
WALKS = {
    "sqlite": re.compile(r"SCAN (jobs|results|pending)\b(?! USING)"),
    "postgresql": re.compile(r"Seq Scan on (jobs|results)_default"),
}


def fill(store):
    """Enough jobs that a database which may choose takes an index."""

    def work(connection):
        series = (
            "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < 20000) "
            if store._database.is_sqlite
            else "WITH series AS (SELECT generate_series(1, 20000) AS n) "
        )
        number = "printf('%012x', n)" if store._database.is_sqlite else "lpad(to_hex(n), 12, '0')"
        id_ = f"('01890a5d-ac96-774b-bcce-' || {number})"
        id_ = id_ if store._database.is_sqlite else f"CAST({id_} AS uuid)"
        connection.execute(
            text(
                "INSERT INTO jobs (id, model, method, queue, priority, n_rows, inputs, routing_hash, created_at) "
                f"{series} SELECT {id_}, 'other', 'predict', 'predictions', 1, 1, '[[1]]', 0, 0 FROM series"
            )
        )
        connection.execute(
            text(
                "INSERT INTO results (id, state, model, attempt, batch_rows, created_at, completed_at) "
                f"{series} SELECT {id_}, CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'succeeded' END, 'other', 1, 1, 0, 0 "
                "FROM series"
            )
        )

    store._database.write(work)
    accepted(store, 30)
    store._database.write(lambda connection: connection.execute(text("ANALYZE")))


def explained(store, call):
    """The plan of each statement that `call` sends, as lines."""
    statements = []

    def note(_connection, _cursor, statement, parameters, *_):
        statements.append((statement, parameters))

    engine = store._database.engine()
    event.listen(engine, "before_cursor_execute", note)
    try:
        call()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    prefix = "EXPLAIN QUERY PLAN " if store._database.is_sqlite else "EXPLAIN "

    def explain(connection):
        plans = []
        for statement, parameters in statements:
            if statement.lstrip().startswith("SELECT"):
                rows = connection.exec_driver_sql(prefix + statement, parameters).all()
                plans.append([str(row[-1]).strip() for row in rows])
        return plans

    return store._database.read(explain)
