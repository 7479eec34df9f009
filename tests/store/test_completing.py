"""Exactly one result for each job, from the batch that holds it."""

import pytest
from given import LOG, accepted, claim_again, claimed, finished, succeeded
from processes import claim_and_complete_all, complete_one, in_processes, in_threads
from sqlalchemy import func, select

from inferq_core.ids import new_batch_id
from inferq_core.states import ErrorCode, State
from inferq_core.store.records import BatchLog, Outcome
from inferq_core.store.tables import batches, pending, results


def batch_row(store, batch_id):
    query = select(batches).where(batches.c.id == batch_id)
    return store._database.read(lambda connection: connection.execute(query).one())


def count(store, table):
    return store._database.read(lambda connection: connection.scalar(select(func.count()).select_from(table)))


def test_a_result_holds_the_whole_story(store):
    job_id = accepted(store, n_rows=3)[0]
    batch_id = new_batch_id()
    claim = store.claim(batch_id, [job_id], worker="worker-1", lease=60)
    outcome = Outcome(
        id=job_id,
        state=State.SUCCEEDED,
        outputs='[1,"zwei ☃",[0.25,null]]',
        version=4,
        variant="canary",
        batch_rows=17,
        predict_seconds=0.5,
    )
    completed = store.complete(batch_id, [outcome], BatchLog(n_jobs=1, n_rows=3, predict_seconds=0.5))
    assert completed.ids == {job_id}
    result = store.result(job_id)
    assert result == store.results([job_id])[job_id]
    assert (result.state, result.model, result.version, result.variant) == (State.SUCCEEDED, "digits", 4, "canary")
    assert result.outputs == [1, "zwei ☃", [0.25, None]]
    assert (result.attempt, result.batch_id, result.batch_rows, result.worker) == (1, batch_id, 17, "worker-1")
    assert (result.error_code, result.error_message) == (None, None)
    assert result.created_at == store.view(job_id).created_at
    assert result.claimed_at == claim.claimed_at
    assert result.predicted_at == pytest.approx(claim.claimed_at + 0.5)
    assert result.completed_at == completed.completed_at >= result.claimed_at
    assert store.state(job_id) is State.SUCCEEDED
    assert store.view(job_id).attempts == 1


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.FAILED, ErrorCode.MODEL_ERROR),
        (State.EXPIRED, ErrorCode.DEADLINE_EXCEEDED),
        (State.CANCELLED, ErrorCode.CANCELLED),
    ],
)
def test_a_job_can_end_without_outputs(store, state, code):
    batch_id, (job_id,) = claimed(store)
    store.complete(batch_id, [Outcome(id=job_id, state=state, error_code=code, error_message="why")], LOG)
    result = store.result(job_id)
    assert (result.state, result.error_code, result.error_message, result.outputs) == (state, code, "why", None)
    assert (result.version, result.predicted_at) == (None, None)


def test_an_error_message_with_anything_in_it_can_be_stored(store):
    batch_id, (job_id,) = claimed(store)
    message = "bytes \0 and half a pair \ud800"
    outcome = Outcome(id=job_id, state=State.FAILED, error_code=ErrorCode.MODEL_ERROR, error_message=message)
    store.complete(batch_id, [outcome], LOG)
    assert store.result(job_id).error_message == "bytes \N{REPLACEMENT CHARACTER} and half a pair ?"


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_an_outcome_must_be_terminal(store, state):
    batch_id, (job_id,) = claimed(store)
    with pytest.raises(ValueError, match="terminal"):
        store.complete(batch_id, [Outcome(id=job_id, state=state)], LOG)
    assert store.state(job_id) is State.RUNNING


def test_the_batch_row_is_its_log(store):
    batch_id, ids = claimed(store, 3)
    claimed_row = batch_row(store, batch_id)
    assert (claimed_row.n_jobs, claimed_row.n_rows, claimed_row.finished_at) == (3, 3, None)
    completed = store.complete(
        batch_id, [succeeded(id_) for id_ in ids], BatchLog(n_jobs=3, n_rows=9, predict_seconds=1.5)
    )
    row = batch_row(store, batch_id)
    assert (row.worker, row.n_jobs, row.n_rows, row.predict_seconds) == ("worker-1", 3, 9, 1.5)
    assert (row.finished_at, row.outcome) == (completed.completed_at, "completed")


def test_jobs_that_are_left_out_stay_held(store):
    batch_id, ids = claimed(store, 3)
    assert store.complete(batch_id, [succeeded(ids[0])], LOG).ids == {ids[0]}
    assert store.states(ids) == {ids[0]: State.SUCCEEDED, ids[1]: State.RUNNING, ids[2]: State.RUNNING}
    assert store.renew(batch_id, lease=60) is True
    assert store.complete(batch_id, [succeeded(id_) for id_ in ids[1:]], LOG).ids == set(ids[1:])
    assert batch_row(store, batch_id).outcome == "completed"
    assert store.renew(batch_id, lease=60) is False


def test_a_late_result_under_an_expired_lease_still_counts_while_nobody_took_the_job(store):
    batch_id, ids = claimed(store, lease=-5)
    assert store.complete(batch_id, [succeeded(ids[0])], LOG).ids == set(ids)


def test_the_fence_keeps_out_a_batch_that_lost_its_jobs(store):
    slow, ids = claimed(store, 2, lease=-5)
    store.recover_expired(max_attempts=20)
    assert store.complete(slow, [succeeded(id_, outputs='["slow"]') for id_ in ids], LOG).ids == frozenset()
    fast, claim = claim_again(store, ids)
    assert len(claim.jobs) == 2
    assert store.complete(slow, [succeeded(id_, outputs='["slow"]') for id_ in ids], LOG).ids == frozenset()
    assert store.complete(fast, [succeeded(id_, outputs='["fast"]') for id_ in ids], LOG).ids == set(ids)
    assert store.complete(slow, [succeeded(id_, outputs='["slow"]') for id_ in ids], LOG).ids == frozenset()
    for job_id in ids:
        result = store.result(job_id)
        assert (result.outputs, result.attempt, result.batch_id) == (["fast"], 2, fast)
    assert batch_row(store, slow).outcome == "expired"


def test_the_fence_is_by_job(store):
    mine, (my_id,) = claimed(store)
    _, (other_id,) = claimed(store)
    (queued_id,) = accepted(store)
    (done_id,) = finished(store)
    outcomes = [succeeded(id_) for id_ in (my_id, other_id, queued_id, done_id)]
    assert store.complete(mine, outcomes, LOG).ids == {my_id}
    assert store.states([other_id, queued_id]) == {other_id: State.RUNNING, queued_id: State.QUEUED}


def test_an_unknown_batch_writes_nothing(store):
    (job_id,) = accepted(store)
    assert store.complete(new_batch_id(), [succeeded(job_id)], LOG).ids == frozenset()
    assert store.state(job_id) is State.QUEUED


def test_completing_again_after_a_commit_in_doubt_gives_the_same_answer(store):
    batch_id, ids = claimed(store, 2)
    outcomes = [succeeded(id_) for id_ in ids]
    first = store.complete(batch_id, outcomes, LOG)
    changed = [succeeded(id_, outputs='["other"]') for id_ in ids]
    assert store.complete(batch_id, changed, LOG).ids == first.ids
    assert store.result(ids[0]).outputs == [7]
    assert count(store, results) == 2


def test_a_late_batch_did_not_write_how_its_recovery_ended_the_job(store):
    batch_id, (job_id,) = claimed(store)
    assert store.release(batch_id, max_attempts=1).failed == [job_id]
    assert store.complete(batch_id, [succeeded(job_id)], LOG).ids == frozenset()
    assert store.result(job_id).error_code is ErrorCode.WORKER_LOST


def test_completing_nothing_changes_nothing(store):
    batch_id, ids = claimed(store, 1)
    assert store.complete(batch_id, [], LOG).ids == frozenset()
    assert store.state(ids[0]) is State.RUNNING
    assert store.renew(batch_id, lease=5) is True


def test_the_same_job_twice_in_one_call_takes_the_first_outcome(store):
    batch_id, (job_id,) = claimed(store)
    store.complete(batch_id, [succeeded(job_id, outputs="[1]"), succeeded(job_id, outputs="[2]")], LOG)
    assert store.result(job_id).outputs == [1]


@pytest.mark.parametrize("together", [in_processes, in_threads])
def test_racing_workers_write_exactly_one_result_each(store, store_url, together):
    ids = sorted(accepted(store, 300))
    written = together(claim_and_complete_all, [(store_url, ids, 20), (store_url, ids[::-1], 32), (store_url, ids, 7)])
    assert sum(written) == 300
    assert count(store, results) == 300
    assert count(store, pending) == 0


def test_completing_and_recovering_at_once_gives_each_job_one_fate(store, store_url):
    pairs = [claimed(store, 5, lease=-5) for _ in range(12)]

    def complete_all(url):
        return [complete_one(url, batch_id, ids) for batch_id, ids in pairs]

    def recover_all(url):
        return [ref.id for _ in range(20) for ref in store.recover_expired(max_attempts=20, limit=1)]

    written, requeued = in_threads(lambda body, url: body(url), [(complete_all, store_url), (recover_all, store_url)])
    done = {id_ for some in written for id_ in some}
    everything = {id_ for _, ids in pairs for id_ in ids}
    assert done | set(requeued) == everything
    assert done & set(requeued) == set()
    assert set(store.states(done).values()) <= {State.SUCCEEDED}
    assert set(store.states(requeued).values()) <= {State.QUEUED}


def test_five_thousand_results_in_large_batches(store):
    ids = accepted(store, 5000)
    for start in range(0, 5000, 1000):
        batch_id, claim = claim_again(store, ids[start : start + 1000])
        assert len(claim.jobs) == 1000
        outcomes = [succeeded(job.id) for job in claim.jobs]
        assert len(store.complete(batch_id, outcomes, LOG).ids) == 1000
    assert len(store.results(ids)) == 5000
    assert count(store, pending) == 0
