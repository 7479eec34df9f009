"""Taking jobs back: at any moment, whoever else works on them."""

import pytest
from given import LOG, accepted, claim_again, claimed, finished, succeeded
from processes import cancel_all, cancel_each, claim_and_give_back, complete_one, in_processes, in_threads, run
from sqlalchemy import func, select

from inferq_core.errors import UnknownJob
from inferq_core.ids import JobId
from inferq_core.states import ErrorCode, State
from inferq_core.store.tables import batches, pending, results


def batch_row(store, batch_id):
    query = select(batches).where(batches.c.id == batch_id)
    return store._database.read(lambda connection: connection.execute(query).one())


def count(store, table):
    return store._database.read(lambda connection: connection.scalar(select(func.count()).select_from(table)))


def test_a_queued_job_ends_at_once(store):
    (job_id, other) = accepted(store, 2)
    assert store.cancel([job_id]) == {job_id: State.QUEUED}
    assert store.states([job_id, other]) == {job_id: State.CANCELLED, other: State.QUEUED}
    result = store.result(job_id)
    assert (result.state, result.error_code, result.outputs) == (State.CANCELLED, ErrorCode.CANCELLED, None)
    assert (result.attempt, result.batch_id, result.claimed_at) == (0, None, None)
    assert result.error_message
    _, claim = claim_again(store, [job_id, other])
    assert [job.id for job in claim.jobs] == [other]


def test_a_running_job_is_taken_from_its_batch(store):
    batch_id, (job_id, other) = claimed(store, 2)
    assert store.cancel([job_id]) == {job_id: State.RUNNING}
    result = store.result(job_id)
    assert (result.state, result.attempt, result.batch_id, result.worker) == (
        State.CANCELLED,
        1,
        batch_id,
        "worker-1",
    )
    assert store.renew(batch_id, lease=60) is True
    assert store.complete(batch_id, [succeeded(job_id), succeeded(other)], LOG).ids == {other}
    assert store.states([job_id, other]) == {job_id: State.CANCELLED, other: State.SUCCEEDED}
    row = batch_row(store, batch_id)
    assert (row.outcome, row.n_open) == ("completed", 0)


def test_a_batch_that_loses_all_its_jobs_is_finished(store):
    batch_id, ids = claimed(store, 3)
    store.cancel(ids)
    row = batch_row(store, batch_id)
    assert (row.outcome, row.n_open) == ("cancelled", 0)
    assert row.finished_at is not None
    assert store.renew(batch_id, lease=60) is False
    assert store.complete(batch_id, [succeeded(id_) for id_ in ids], LOG).ids == frozenset()
    assert store.recover_expired(max_attempts=20) == []
    assert set(store.states(ids).values()) == {State.CANCELLED}


def test_recovering_a_batch_leaves_what_was_cancelled(store):
    _, (job_id, other) = claimed(store, 2, lease=-5)
    store.cancel([job_id])
    assert [ref.id for ref in store.recover_expired(max_attempts=20)] == [other]
    assert store.states([job_id, other]) == {job_id: State.CANCELLED, other: State.QUEUED}


def test_a_job_that_has_ended_stays_as_it_is(store):
    (done,) = finished(store)
    (gone,) = accepted(store)
    store.cancel([gone])
    before = store.results([done, gone])
    assert store.cancel([done, gone]) == {done: State.SUCCEEDED, gone: State.CANCELLED}
    assert store.results([done, gone]) == before


def test_each_kind_in_one_call(store):
    queued, (done,) = accepted(store, 3), finished(store)
    first, running = claimed(store, 2)
    second, more = claimed(store, 2)
    expected = dict.fromkeys(queued, State.QUEUED) | dict.fromkeys(running + more[:1], State.RUNNING)
    assert store.cancel([*queued, *running, more[0], done, done]) == expected | {done: State.SUCCEEDED}
    assert batch_row(store, first).outcome == "cancelled"
    assert (batch_row(store, second).outcome, batch_row(store, second).n_open) == (None, 1)


@pytest.mark.parametrize("stranger", ["01890a5d-ac96-774b-bcce-b302099a8057", "no id at all"])
def test_an_unknown_id_cancels_nothing(store, stranger):
    (job_id,) = accepted(store)
    with pytest.raises(UnknownJob, match=stranger):
        store.cancel([job_id, JobId(stranger)])
    assert store.state(job_id) is State.QUEUED


def test_an_id_in_any_spelling(store):
    (job_id,) = accepted(store)
    assert store.cancel([JobId(job_id.upper()), job_id]) == {job_id: State.QUEUED}
    assert store.cancel([]) == {}


def test_more_than_one_transaction_holds(store):
    ids = accepted(store, 1200)
    claim_again(store, ids[:300])
    found = store.cancel(ids)
    assert [list(found.values()).count(state) for state in (State.QUEUED, State.RUNNING)] == [900, 300]
    assert count(store, pending) == 0
    assert count(store, results) == 1200


@pytest.mark.parametrize("cancel", [cancel_each, cancel_all])
def test_cancelling_and_completing_at_once_gives_each_job_one_end(store, store_url, cancel):
    pairs = [claimed(store, 6) for _ in range(25)]
    everything = [id_ for _, ids in pairs for id_ in ids]

    def complete_all(url, _):
        return [complete_one(url, batch_id, ids) for batch_id, ids in pairs]

    written, found = in_threads(
        run,
        [(complete_all, store_url, None), (cancel, store_url, everything[::-1])],
    )
    done = {id_ for some in written for id_ in some}
    cancelled = {id_ for id_, state in found.items() if state is State.RUNNING}
    assert done | cancelled == set(everything)
    assert done & cancelled == set()
    states = store.states(everything)
    assert {id_ for id_, state in states.items() if state is State.SUCCEEDED} == done
    assert {id_ for id_, state in states.items() if state is State.CANCELLED} == cancelled
    assert (count(store, pending), count(store, results)) == (0, len(everything))
    for batch_id, _ in pairs:
        row = batch_row(store, batch_id)
        assert (row.n_open, row.outcome in {"completed", "cancelled"}) == (0, True)


def test_cancelling_in_many_processes_while_jobs_move(store, store_url):
    ids = accepted(store, 120)
    in_processes(
        run,
        [
            (cancel_each, store_url, ids),
            (cancel_all, store_url, ids[::-1]),
            (claim_and_give_back, store_url, ids, 40),
            (claim_and_give_back, store_url, ids[40:], 40),
        ],
    )
    assert set(store.states(ids).values()) == {State.CANCELLED}
    assert (count(store, pending), count(store, results)) == (0, 120)
    still_open = select(func.count()).select_from(batches).where(batches.c.finished_at.is_(None))
    assert store._database.read(lambda connection: connection.scalar(still_open)) == 0
