"""A claim takes queued jobs for a limited time, each for one batch only."""

import pytest
from given import LOG, accepted, claim_again, claimed, finished, new_job, succeeded
from processes import claim_all, in_processes, in_threads
from sqlalchemy import update

from inferq_core.ids import new_batch_id, new_job_id
from inferq_core.states import State
from inferq_core.store.sql import read_clock
from inferq_core.store.tables import pending


def limited(store, limits):
    """Queued jobs with these group limits."""
    ids = sorted(accepted(store, len(limits)))
    for job_id, limit in zip(ids, limits, strict=True):
        change = update(pending).where(pending.c.id == job_id).values(group_limit=limit)
        store._database.write(lambda connection, change=change: connection.execute(change))
    return ids


def test_a_claim_takes_queued_jobs_and_counts_the_attempt(store):
    ids = accepted(store, 3, inputs="[[4]]", model="text", n_rows=2)
    before = store._database.read(read_clock)
    claim = store.claim(new_batch_id(), ids, worker="worker-1", lease=30)
    assert {job.id for job in claim.jobs} == set(ids)
    assert claim.refused == ()
    assert claim.lease_until == pytest.approx(claim.claimed_at + 30)
    assert before - 0.01 <= claim.claimed_at <= store._database.read(read_clock) + 0.01
    for job in claim.jobs:
        assert (job.model, job.n_rows, job.inputs, job.attempt, job.expired) == ("text", 2, "[[4]]", 1, False)
    assert set(store.states(ids).values()) == {State.RUNNING}
    assert {store.view(job_id).attempts for job_id in ids} == {1}


def test_what_is_not_queued_drops_out(store):
    done = finished(store, 2)
    _, held = claimed(store, 2)
    queued = accepted(store, 2)
    _, claim = claim_again(store, [*done, *held, new_job_id(), "garbage", *queued])
    assert {job.id for job in claim.jobs} == set(queued)
    assert claim.refused == ()
    assert {store.view(job_id).attempts for job_id in (*done, *held)} == {1}


def test_a_claim_of_nothing_holds_nothing(store):
    batch_id, claim = claim_again(store, [*finished(store), new_job_id()])
    assert (claim.jobs, claim.refused) == ((), ())
    assert store.renew(batch_id, lease=10) is False
    assert claim_again(store, [])[1].jobs == ()


def test_a_job_held_under_a_lease_that_ran_out_is_not_taken(store):
    """Only the keeper takes it back, so that a slow worker and a claim never race."""
    _, ids = claimed(store, 2, lease=-5)
    assert claim_again(store, ids)[1].jobs == ()


def test_the_same_batch_id_again_answers_what_it_holds(store):
    ids = accepted(store, 3)
    batch_id = new_batch_id()
    first = store.claim(batch_id, ids, worker="w", lease=30)
    more = accepted(store, 2)
    again = store.claim(batch_id, [*ids, *more], worker="w", lease=30)
    assert again == first
    assert set(store.states(more).values()) == {State.QUEUED}
    assert {job.attempt for job in again.jobs} == {1}


def test_the_same_batch_id_after_a_part_was_completed(store):
    ids = accepted(store, 3)
    batch_id = new_batch_id()
    store.claim(batch_id, ids, worker="w", lease=30)
    store.complete(batch_id, [succeeded(ids[0])], LOG)
    assert {job.id for job in store.claim(batch_id, ids, worker="w", lease=30).jobs} == set(ids[1:])


def test_a_finished_batch_id_never_claims_again(store):
    batch_id, ids = claimed(store, 2)
    store.release(batch_id, max_attempts=20)
    assert store.claim(batch_id, ids, worker="w", lease=30).jobs == ()
    assert set(store.states(ids).values()) == {State.QUEUED}


def test_an_overdue_job_comes_marked(store):
    overdue, in_time, without = new_job(deadline=-1), new_job(deadline=60), new_job()
    store.accept([overdue, in_time, without])
    _, claim = claim_again(store, [overdue.id, in_time.id, without.id])
    assert {job.id: job.expired for job in claim.jobs} == {overdue.id: True, in_time.id: False, without.id: False}


@pytest.mark.parametrize(
    ("limits", "n_taken"),
    [
        ([None, None, None], 3),
        ([3, 3, 3], 3),
        ([2, 2, 2], 2),  # the third would make the batch too large for the others
        ([1, 1], 1),
        ([1], 1),
        ([1, None, None], 2),  # the quarantined one runs alone, later
        ([2, None, None], 2),
        ([5, None, None], 3),
        ([128] * 256, 128),
    ],
)
def test_a_batch_is_never_larger_than_the_limit_of_any_of_its_jobs(store, limits, n_taken):
    ids = limited(store, limits)
    by_id = dict(zip(ids, limits, strict=True))
    _, claim = claim_again(store, ids)
    assert len(claim.jobs) == n_taken
    assert all(by_id[job.id] is None or by_id[job.id] >= n_taken for job in claim.jobs)
    assert {ref.id for ref in claim.refused} == set(ids) - {job.id for job in claim.jobs}
    for ref in claim.refused:
        assert ref.group_limit == by_id[ref.id]
        assert store.state(ref.id) is State.QUEUED
        assert store.view(ref.id).attempts == 0


def test_the_limit_counts_jobs_that_can_be_taken_not_those_asked_for(store):
    ids = limited(store, [2, 2])
    others = finished(store, 10)
    _, claim = claim_again(store, [*others, *ids])
    assert len(claim.jobs) == 2
    assert claim.refused == ()


def test_refused_jobs_can_be_published_again(store):
    job = new_job(queue="heavy", n_rows=4)
    other = new_job()
    store.accept([job, other])
    change = update(pending).where(pending.c.id == job.id).values(group_limit=1)
    store._database.write(lambda connection: connection.execute(change))
    _, claim = claim_again(store, [job.id, other.id])
    (ref,) = claim.refused
    assert (ref.id, ref.model, ref.queue, ref.n_rows, ref.group_limit) == (job.id, "digits", "heavy", 4, 1)
    assert ref.priority is job.priority


def test_renewing_moves_the_lease(store):
    batch_id, ids = claimed(store, lease=-5)
    assert store.renew(batch_id, lease=60) is True
    assert store.recover_expired(max_attempts=20) == []
    assert set(store.states(ids).values()) == {State.RUNNING}


@pytest.mark.parametrize("ended_by", ["complete", "release", "recover_expired", "nothing"])
def test_a_batch_that_is_over_cannot_be_renewed(store, ended_by):
    batch_id, ids = claimed(store, lease=-5)
    if ended_by == "complete":
        store.complete(batch_id, [succeeded(ids[0])], LOG)
    elif ended_by == "release":
        store.release(batch_id, max_attempts=20)
    elif ended_by == "recover_expired":
        store.recover_expired(max_attempts=20)
    else:
        batch_id = new_batch_id()
    assert store.renew(batch_id, lease=60) is False


@pytest.mark.parametrize("together", [in_processes, in_threads])
def test_claims_that_race_share_the_jobs_out(store, store_url, together):
    ids = sorted(accepted(store, 600))
    orders = [ids, ids, ids[::-1], ids[300:] + ids[:300]]
    got = together(claim_all, [(store_url, order, 40) for order in orders])
    assert sorted(job_id for part in got for job_id in part) == ids
    assert {view.attempts for view in map(store.view, ids[::50])} == {1}


def test_queued_gives_what_it_takes_to_publish_again(store):
    waiting = sorted(accepted(store, 2, n_rows=3))
    _, held = claimed(store, 1)
    refs = store.queued([*waiting, *held, *finished(store), new_job_id(), "garbage"])
    assert [(ref.id, ref.model, ref.n_rows, ref.group_limit) for ref in refs] == [
        (id_, "digits", 3, None) for id_ in waiting
    ]
