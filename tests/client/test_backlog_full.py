"""A client refuses what the system cannot take, and says when it will be done."""

import time

import pytest
from installation import ROW

from inferq import BacklogFull, ErrorCode, State, UnknownJob, retrying
from inferq_core.ids import new_job_id
from inferq_core.store.records import WorkerBeat


def learn(installation, seconds_a_row):
    """As from a worker of one process that has learned what a row of `sums` takes."""
    costs = {"sums": (0.0, seconds_a_row)}
    beat = WorkerBeat("worker-1", "host", 1, (installation.settings.queue,), 1, {}, {}, costs=costs)
    installation.store.beat(beat, min_interval=0)


@pytest.fixture
def learned(installation):
    learn(installation, seconds_a_row=1.0)
    return installation


@pytest.fixture
def bounded(learned):
    learned.store.put_model("sums", max_backlog=10)
    return learned


def stored(installation):
    return sum(installation.store.counts().values())


def test_a_job_past_the_bound_is_refused_and_leaves_nothing(bounded):
    bounded.client.submit("sums", [ROW] * 8)
    with pytest.raises(
        BacklogFull, match=r"'sums'.*8 rows wait or run.*max_backlog of 10.*try again in about 1 s"
    ) as full:
        bounded.client.submit("sums", [ROW] * 3)
    assert full.value.retry_after == pytest.approx(1.0)
    assert (stored(bounded), bounded.depth()) == (1, 1)


def test_what_was_refused_fits_after_the_time_that_it_was_told(bounded):
    learn(bounded, seconds_a_row=0.0001)
    first = bounded.client.submit("sums", [ROW] * 10)
    with pytest.raises(BacklogFull) as full:
        bounded.client.submit("sums", ROW)
    assert 0.1 <= full.value.retry_after <= 1  # no sooner than the client would look again
    bounded.finish(first)
    time.sleep(full.value.retry_after)
    assert bounded.client.submit("sums", ROW).state() is State.QUEUED


def test_many_items_are_refused_as_a_whole(bounded):
    with pytest.raises(BacklogFull):
        bounded.client.submit_many("sums", [ROW] * 11)
    assert stored(bounded) == 0
    assert len(bounded.client.submit_many("sums", [ROW] * 10)) == 10


@pytest.fixture
def failed(bounded):
    """Three jobs of a row that failed; nothing of them waits any more."""
    jobs = bounded.client.submit_many("sums", [ROW] * 3)
    bounded.finish(*jobs, state=State.FAILED, outputs=None, error_code=ErrorCode.MODEL_ERROR)
    return jobs


def once_there_is_room(call):
    """A client believes a look at the load for a while."""
    for _ in range(100):
        try:
            return call()
        except BacklogFull as full:
            time.sleep(full.retry_after or 0.1)
    raise AssertionError("there never was")


def test_retries_are_refused_as_a_whole(bounded, failed):
    once_there_is_room(lambda: bounded.client.submit("sums", [ROW] * 8))
    with pytest.raises(BacklogFull, match="3 more would exceed its max_backlog of 10"):
        bounded.client.retry_many(failed)
    assert stored(bounded) == 4
    again = bounded.client.retry_many(failed[:2])
    assert [job.state() for job in again] == [State.QUEUED] * 2
    with pytest.raises(BacklogFull):
        bounded.client.retry(failed[2])
    assert bounded.client.retry_many(failed[:2]) == again, "what was retried before needs no room"


def test_retries_of_several_pages_are_judged_together(bounded, failed, monkeypatch):
    monkeypatch.setattr(retrying, "PAGE_JOBS", 2)
    bounded.store.put_model("sums", max_backlog=2)
    with pytest.raises(BacklogFull, match="never fit") as full:
        bounded.client.retry_many(failed)
    assert full.value.never_fits
    assert stored(bounded) == 3
    bounded.store.put_model("sums", max_backlog=3)
    again = once_there_is_room(lambda: bounded.client.retry_many([*failed, failed[0]]))
    assert len({job.id for job in again}) == 3
    assert again[0] == again[3]
    assert [bounded.store.life(job.id).retry_of for job in again[:3]] == [job.id for job in failed]
    with pytest.raises(BacklogFull, match="3 rows wait or run"):  # each is counted once
        bounded.client.submit("sums", ROW)


def test_a_retry_that_would_come_too_late_is_refused(learned):
    job = learned.client.submit("sums", ROW, deadline=5)
    learned.finish(job, state=State.FAILED, outputs=None, error_code=ErrorCode.MODEL_ERROR)
    learned.client.submit("sums", [ROW] * 20)
    with pytest.raises(BacklogFull, match="after its deadline of 5 s"):
        learned.client.retry(job)


def test_a_key_that_is_known_is_answered_however_full_it_is(bounded):
    job = bounded.client.submit("sums", [ROW] * 10, idempotency_key="order 7")
    assert bounded.client.submit("sums", [ROW] * 10, idempotency_key="order 7") == job


def test_a_deadline_that_cannot_be_met_is_refused(learned):
    learned.client.submit("sums", [ROW] * 8)
    assert learned.client.submit("sums", ROW, deadline=60).state() is State.QUEUED
    with pytest.raises(BacklogFull, match="after its deadline of 2 s"):
        learned.client.submit("sums", ROW, deadline=2)
    assert stored(learned) == 2


def test_a_job_tells_when_it_will_be_done(learned):
    job = learned.client.submit("sums", [ROW] * 8)
    assert job.eta() == pytest.approx(8.0)
    learned.finish(job)
    assert learned.client.eta(job.id) == 0.0
    with pytest.raises(UnknownJob):
        learned.client.eta(new_job_id())


def test_nothing_is_estimated_before_anything_is_learned(installation):
    assert installation.client.submit("sums", ROW).eta() is None


def test_without_bound_and_deadline_nothing_is_looked_at(installation, monkeypatch):
    monkeypatch.setattr(type(installation.store), "backlog", lambda *_: pytest.fail("the load was read"))
    installation.client.submit("sums", ROW)
