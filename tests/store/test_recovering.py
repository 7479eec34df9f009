"""Batches that end without results: given back, lost, or out of time. Blame is not shared."""

import pytest
from given import LOG, accepted, claim_again, claimed, succeeded
from sqlalchemy import select, update

from inferq_core.ids import new_batch_id
from inferq_core.states import ErrorCode, State
from inferq_core.store.tables import batches, pending


def lose(store, batch_id, *, max_solo_crashes=2, max_attempts=20, code=ErrorCode.WORKER_LOST):
    return store.recover(
        batch_id, code=code, message="its process died", max_solo_crashes=max_solo_crashes, max_attempts=max_attempts
    )


def outcome_of(store, batch_id):
    query = select(batches.c.outcome, batches.c.finished_at).where(batches.c.id == batch_id)
    return store._database.read(lambda connection: connection.execute(query).one())


class TestRelease:
    def test_jobs_go_back_without_blame(self, store):
        batch_id, ids = claimed(store, 3)
        refs = store.release(batch_id, max_attempts=20).requeued
        assert {ref.id for ref in refs} == set(ids)
        assert {ref.group_limit for ref in refs} == {None}
        assert set(store.states(ids).values()) == {State.QUEUED}
        assert outcome_of(store, batch_id).outcome == "released"
        assert outcome_of(store, batch_id).finished_at is not None

    def test_the_attempt_stays_counted(self, store):
        batch_id, ids = claimed(store)
        store.release(batch_id, max_attempts=20)
        assert claim_again(store, ids)[1].jobs[0].attempt == 2

    def test_only_what_is_still_held(self, store):
        batch_id, ids = claimed(store, 3)
        store.complete(batch_id, [succeeded(ids[0])], LOG)
        assert {ref.id for ref in store.release(batch_id, max_attempts=20).requeued} == set(ids[1:])
        assert store.state(ids[0]) is State.SUCCEEDED

    def test_again_or_of_an_unknown_batch_gives_nothing(self, store):
        batch_id, ids = claimed(store)
        store.release(batch_id, max_attempts=20)
        _, claim = claim_again(store, ids)
        assert len(claim.jobs) == 1
        assert store.release(batch_id, max_attempts=20).requeued == ()
        assert store.release(new_batch_id(), max_attempts=20).requeued == ()
        assert store.state(ids[0]) is State.RUNNING

    def test_it_is_published_anew(self, store):
        batch_id, (job_id,) = claimed(store)
        assert store.release(batch_id, max_attempts=20).requeued[0].published_at > store.view(job_id).created_at


class TestRecover:
    @pytest.mark.parametrize(("n", "limit"), [(1, 1), (2, 1), (3, 2), (5, 3), (256, 128)])
    def test_the_group_is_halved(self, store, n, limit):
        batch_id, ids = claimed(store, n)
        recovered = lose(store, batch_id)
        assert {ref.id for ref in recovered.requeued} == set(ids)
        assert {ref.group_limit for ref in recovered.requeued} == {limit}
        assert recovered.failed == []
        assert set(store.states(ids).values()) == {State.QUEUED}
        assert outcome_of(store, batch_id).outcome == "lost"

    def test_a_smaller_limit_is_never_raised(self, store):
        batch_id, ids = claimed(store, 4)
        change = update(pending).where(pending.c.id == ids[0]).values(group_limit=1)
        store._database.write(lambda connection: connection.execute(change))
        limits = {ref.id: ref.group_limit for ref in lose(store, batch_id).requeued}
        assert limits == {ids[0]: 1, ids[1]: 2, ids[2]: 2, ids[3]: 2}

    def test_a_job_is_quarantined_after_dying_alone_too_often(self, store):
        batch_id, (job_id,) = claimed(store)
        assert [ref.id for ref in lose(store, batch_id).requeued] == [job_id]
        batch_id, _ = claim_again(store, [job_id])
        recovered = lose(store, batch_id)
        assert recovered.requeued == []
        assert recovered.failed == [job_id]
        result = store.result(job_id)
        assert (result.state, result.error_code) == (State.FAILED, ErrorCode.WORKER_LOST)
        assert result.error_message == "its process died"
        assert (result.attempt, result.batch_id, result.worker) == (2, batch_id, "worker-2")
        assert result.claimed_at is not None

    def test_the_code_is_the_callers(self, store):
        batch_id, (job_id,) = claimed(store)
        lose(store, batch_id, max_solo_crashes=1, code=ErrorCode.TIME_LIMIT)
        assert store.result(job_id).error_code is ErrorCode.TIME_LIMIT

    def test_dying_in_company_is_no_solo_crash(self, store):
        batch_id, ids = claimed(store, 2)
        assert {ref.id for ref in lose(store, batch_id, max_solo_crashes=1).requeued} == set(ids)

    def test_too_many_claims_end_a_job(self, store):
        batch_id, ids = claimed(store, 4)
        recovered = lose(store, batch_id, max_attempts=1)
        assert set(recovered.failed) == set(ids)
        assert recovered.requeued == []
        assert {result.error_code for result in store.results(ids).values()} == {ErrorCode.WORKER_LOST}

    def test_only_what_is_still_held_and_only_once(self, store):
        batch_id, ids = claimed(store, 5)
        store.complete(batch_id, [succeeded(ids[0]), succeeded(ids[1])], LOG)
        recovered = lose(store, batch_id)
        assert {ref.id for ref in recovered.requeued} == set(ids[2:])
        assert {ref.group_limit for ref in recovered.requeued} == {2}
        assert lose(store, batch_id).requeued == ()
        assert lose(store, new_batch_id()).requeued == ()

    def test_a_released_batch_carries_no_blame(self, store):
        batch_id, ids = claimed(store, 2)
        store.release(batch_id, max_attempts=20)
        assert lose(store, batch_id).requeued == ()
        assert len(claim_again(store, ids)[1].jobs) == 2

    def test_one_killer_among_256_costs_ten_processes_and_nobody_else(self, store):
        """256, 128, … 1, and once more alone: the arithmetic of issue 01's bar 4."""
        _, ids = claimed(store, 256, lease=-5)
        queue = [[ref.id for ref in store.recover_expired(max_attempts=20)]]
        assert sorted(queue[0]) == sorted(ids)
        killer, deaths, failed = ids[77], 0, []
        while queue:
            group = queue.pop(0)
            batch_id, claim = claim_again(store, group)
            held = [job.id for job in claim.jobs]
            assert claim.refused == ()
            if killer not in held:
                assert len(store.complete(batch_id, [succeeded(id_) for id_ in held], LOG).ids) == len(held)
                continue
            deaths += 1
            recovered = lose(store, batch_id)
            failed += recovered.failed
            refs = [ref.id for ref in recovered.requeued]
            limit = recovered.requeued[0].group_limit if refs else 1
            queue += [refs[start : start + limit] for start in range(0, len(refs), limit)]
        assert deaths == 10
        assert failed == [killer]
        assert store.counts() == {("digits", State.SUCCEEDED): 255, ("digits", State.FAILED): 1}


class TestRecoverExpired:
    def test_lost_leases_go_back_without_blame(self, store):
        lost, ids = claimed(store, 3, lease=-5)
        _, alive = claimed(store, 2)
        refs = store.recover_expired(max_attempts=20)
        assert {ref.id for ref in refs} == set(ids)
        assert {ref.group_limit for ref in refs} == {None}
        assert set(store.states(ids).values()) == {State.QUEUED}
        assert set(store.states(alive).values()) == {State.RUNNING}
        assert outcome_of(store, lost).outcome == "expired"
        assert store.recover_expired(max_attempts=20) == []

    def test_jobs_with_too_many_claims_end(self, store):
        _, ids = claimed(store, 2, lease=-5)
        assert store.recover_expired(max_attempts=1) == []
        for result in store.results(ids).values():
            assert (result.state, result.error_code) == (State.FAILED, ErrorCode.WORKER_LOST)
            assert result.error_message

    def test_twenty_times_and_no_more(self, store):
        _, ids = claimed(store, lease=-5)
        claims = 1
        while store.recover_expired(max_attempts=20):
            _, claim = claim_again(store, ids, lease=-5)
            claims += len(claim.jobs)
        assert claims == 20
        assert store.result(ids[0]).attempt == 20

    def test_no_more_batches_than_asked_for(self, store):
        for _ in range(5):
            claimed(store, 2, lease=-5)
        assert len(store.recover_expired(max_attempts=20, limit=2)) == 4
        assert len(store.recover_expired(max_attempts=20, limit=2)) == 4
        assert len(store.recover_expired(max_attempts=20, limit=2)) == 2

    def test_more_jobs_than_one_transaction_holds(self, store):
        everything = [id_ for _ in range(4) for id_ in claimed(store, 200, lease=-5)[1]]
        refs = store.recover_expired(max_attempts=20)
        assert sorted(ref.id for ref in refs) == sorted(everything)


def test_released_too_often_a_job_ends(store):
    batch_id, ids = claimed(store, 2)
    released = store.release(batch_id, max_attempts=1)
    assert sorted(released.failed) == sorted(ids)
    assert released.requeued == []
    assert {result.error_code for result in store.results(ids).values()} == {ErrorCode.WORKER_LOST}


def test_jobs_whose_leases_keep_running_out_are_separated(store):
    """A job that takes the whole worker with it leaves nobody to blame it; its neighbours must not end with it."""
    ids = accepted(store, 8)
    limits = []
    for _ in range(6):
        claim = store.claim(new_batch_id(), ids, worker="w", lease=-1)
        assert claim.jobs
        refs = store.recover_expired(max_attempts=20)
        ids = [ref.id for ref in refs]
        limits.append(refs[0].group_limit)
    assert limits == [None, None, 4, 2, 1, 1]
