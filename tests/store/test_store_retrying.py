"""Jobs that are run once more."""

import pytest
from given import accepted, claimed, finished, new_job
from processes import in_processes, opened

from inferq_core.errors import JobUnfinished, UnknownJob
from inferq_core.ids import new_job_id
from inferq_core.states import Priority, State
from inferq_core.store import retrying

OPTIONS = {
    "model": "text",
    "n_rows": 2,
    "inputs": '["ä","b"]',
    "priority": Priority.BULK,
    "version": "3",
    "deadline": 60.0,
    "routing_key": "customer 7",
    "routing_hash": -5,
    "metadata": '{"order":7}',
}


def retry(store, job_ids):
    return list(store.accept(store.copies(job_ids)).ids)


def retry_in_process(url, job_ids):
    store = opened(url)
    ids = retry(store, job_ids)
    store.close()
    return ids


def test_the_copy_is_what_was_submitted(store):
    (old,) = finished(store, idempotency_key="a key", payload_digest="a digest", **OPTIONS)
    (new,) = retry(store, [old])
    assert new != old
    assert (store.state(old), store.state(new)) == (State.SUCCEEDED, State.QUEUED)
    (claim,) = store.claim("0" * 32, [new], worker="any", lease=60).jobs
    assert (claim.model, claim.n_rows, claim.inputs, claim.version) == ("text", 2, '["ä","b"]', "3")
    assert claim.routing_hash == -5
    life = store.life(new)
    assert (life.view.priority, life.view.metadata, life.routing_key) == (Priority.BULK, {"order": 7}, "customer 7")
    assert life.deadline_at - life.view.created_at == pytest.approx(60)
    assert (life.retry_of, life.retried_as, life.idempotency_key) == (old, None, None)
    assert (store.life(old).retry_of, store.life(old).retried_as) == (None, new)
    assert store.retries([old, new]) == {old: new}


def test_a_job_is_retried_once_and_its_retry_in_its_turn(store):
    (old,) = finished(store)
    (new,) = retry(store, [old])
    assert retry(store, [old, old]) == [new, new]
    store.cancel([new])
    assert retry(store, [old]) == [new]
    (newer,) = retry(store, [new])
    assert store.retries([old, new]) == {old: new, new: newer}


def test_processes_that_retry_the_same_jobs_agree(store, store_url):
    jobs = finished(store, 40)
    answers = in_processes(retry_in_process, [(store_url, jobs), (store_url, jobs[::-1])])
    assert answers[0] == answers[1][::-1]
    assert store.counts()["digits", State.QUEUED] == 40


def test_what_has_not_ended_is_refused(store):
    for job_id, state in ((accepted(store)[0], "queued"), (claimed(store)[1][0], "running")):
        with pytest.raises(JobUnfinished, match=state):
            store.copies([job_id])
    with pytest.raises(UnknownJob):
        store.copies([new_job_id()])


def test_no_more_is_held_at_once_than_memory_should(store, monkeypatch):
    monkeypatch.setattr(retrying, "COPY_BYTES", 100)
    jobs = [new_job(inputs=f'["{"ä" * size}"]') for size in (200, 10, 10, 10)]  # 404, 24, 24 and 24 bytes
    store.accept(jobs)
    store.cancel([job.id for job in jobs])
    ids = [job.id for job in jobs]
    taken = []
    while ids:
        copies = store.copies(ids)
        taken.append(len(copies))
        ids = ids[len(copies) :]
    assert taken == [1, 3]
