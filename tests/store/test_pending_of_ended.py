"""A `pending` row of a job that has ended: nothing of ours makes one, whoever may submit could; it holds up nobody."""

import pytest
from given import LOG, accepted, claim_again, finished, succeeded
from sqlalchemy import func, insert, select

from inferq_core.ids import new_batch_id
from inferq_core.states import ErrorCode, State
from inferq_core.store.records import Outcome
from inferq_core.store.tables import batches, pending


@pytest.fixture
def ended(store):
    """A job that succeeded, and is pending nevertheless."""
    (job_id,) = finished(store)
    forge(store, job_id)
    return job_id


def forge(store, job_id, **columns):
    row = {
        "model": "digits", "queue": "predictions", "priority": 5, "n_rows": 1, "attempts": 0, "solo_crashes": 0,
        "published_at": 0.0, "republished": 0, "created_at": 0.0,
    }  # fmt: skip
    statement = insert(pending).values(id=job_id, **{**row, **columns})
    store._database.write(lambda connection: connection.execute(statement))


def n_pending(store):
    return store._database.read(lambda connection: connection.scalar(select(func.count()).select_from(pending)))


def batch_row(store, batch_id):
    query = select(batches).where(batches.c.id == batch_id)
    return store._database.read(lambda connection: connection.execute(query).one())


@pytest.fixture(autouse=True)
def result_stays(store, ended):
    before = store.result(ended)
    yield
    assert store.result(ended) == before
    assert store.state(ended) is State.SUCCEEDED


def test_the_others_of_its_batch_complete(store, ended):
    others = accepted(store, 3)
    batch_id, claim = claim_again(store, [ended, *others])
    assert len(claim.jobs) == 4
    outcomes = [succeeded(job_id, outputs="[8]") for job_id in (ended, *others)]
    assert store.complete(batch_id, outcomes, LOG).ids == {*others}
    assert [result.outputs for result in store.results(others).values()] == [[8]] * 3
    assert n_pending(store) == 0
    row = batch_row(store, batch_id)
    assert (row.n_open, row.outcome) == (0, "completed")
    assert row.finished_at is not None
    assert store.complete(batch_id, outcomes, LOG).ids == {*others}, "the same again"


def test_jobs_that_are_left_out_stay_held(store, ended):
    first, second = accepted(store, 2)
    batch_id, _ = claim_again(store, [ended, first, second])
    assert store.complete(batch_id, [succeeded(ended), succeeded(first)], LOG).ids == {first}
    assert batch_row(store, batch_id).finished_at is None
    assert store.state(second) is State.RUNNING
    assert store.complete(batch_id, [succeeded(second)], LOG).ids == {second}
    assert batch_row(store, batch_id).outcome == "completed"


def test_a_batch_of_nothing_else_is_finished(store, ended):
    batch_id, claim = claim_again(store, [ended])
    assert len(claim.jobs) == 1
    failed = Outcome(id=ended, state=State.FAILED, error_code=ErrorCode.MODEL_ERROR)
    assert store.complete(batch_id, [failed], LOG).ids == frozenset()
    assert n_pending(store) == 0
    assert batch_row(store, batch_id).finished_at is not None
    assert not store.renew(batch_id, lease=60)


def test_what_another_batch_holds_is_left_to_it(store, ended):
    theirs, _ = claim_again(store, [ended])
    (mine,) = accepted(store)
    batch_id, _ = claim_again(store, [mine])
    assert store.complete(batch_id, [succeeded(ended), succeeded(mine)], LOG).ids == {mine}
    assert n_pending(store) == 1
    store.complete(theirs, [succeeded(ended)], LOG)
    assert n_pending(store) == 0


def test_giving_back_and_recovering_end_it_nowhere(store, ended):
    other = accepted(store)[0]
    batch_id, _ = claim_again(store, [ended, other])
    assert store.release(batch_id, max_attempts=1).failed == [other]
    assert n_pending(store) == 0
    forge(store, ended)
    batch_id, _ = claim_again(store, [ended])
    recovered = store.recover(
        batch_id, code=ErrorCode.WORKER_LOST, message="it died", max_solo_crashes=1, max_attempts=20
    )
    assert (list(recovered.failed), list(recovered.requeued), n_pending(store)) == ([], [], 0)


def test_sweeps_go_on(store, ended):
    late = accepted(store, deadline=1e-9)
    forge_late = finished(store)[0]
    forge(store, forge_late, deadline_at=1.0)
    assert store.expire_overdue() == 1
    assert store.state(late[0]) is State.EXPIRED
    batch_id = new_batch_id()
    store.claim(batch_id, [ended], worker="worker-1", lease=-5)
    assert store.recover_expired(max_attempts=1) == []
    assert n_pending(store) == 0


@pytest.mark.parametrize("is_running", [False, True])
def test_it_is_not_taken_back(store, ended, is_running):
    if is_running:
        claim_again(store, [ended])
    (other,) = accepted(store)
    assert store.cancel([ended, other]) == {ended: State.SUCCEEDED, other: State.QUEUED}
    assert n_pending(store) == 0
