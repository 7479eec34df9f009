"""All that is known of one job."""

import pytest
from given import accepted, claimed, finished, new_job, published

from inferq_core.errors import UnknownJob
from inferq_core.ids import JobId
from inferq_core.states import State


def test_a_queued_job(store):
    job = new_job(deadline=60, idempotency_key="key", payload_digest="d", routing_key="customer")
    store.accept([job])
    life = store.life(job.id)
    assert life.view == store.view(job.id)
    assert (life.idempotency_key, life.routing_key) == ("key", "customer")
    assert life.deadline_at == pytest.approx(life.view.created_at + 60)
    assert (life.published_at, life.republished) == (life.view.created_at, 0)
    assert (life.holding, life.result, life.feedback) == (None, None, [])


def test_a_job_whose_message_was_lost(store):
    (job_id,) = accepted(store)
    published(store, [job_id], seconds_ago=60)
    store.take_orphans(queue="predictions", after=10, depth_is_zero=True, worker_timeout=10)
    life = store.life(job_id)
    assert life.republished == 1
    assert life.published_at >= life.view.created_at


def test_a_running_job_names_the_batch_that_holds_it(store):
    batch_id, (job_id,) = claimed(store)
    life = store.life(JobId(job_id.upper()))
    assert life.view.state is State.RUNNING
    assert (life.holding.batch_id, life.holding.worker) == (batch_id, "worker-1")
    assert life.holding.lease_until > life.holding.claimed_at >= life.view.created_at


def test_many_jobs_as_they_are_now(store):
    (queued,), (ended,) = accepted(store), finished(store)
    found = store.now_of([ended, queued, new_job().id])
    assert found.keys() == {queued, ended}
    assert (found[queued].view, found[queued].result) == (store.view(queued), None)
    assert (found[ended].view, found[ended].result) == (store.view(ended), store.result(ended))
    assert store.now_of([]) == {}


def test_a_job_that_has_ended(store):
    (job_id,) = finished(store)
    store.add_feedback([(job_id, 3)])
    store.add_feedback([(job_id, 7)])
    life = store.life(job_id)
    assert life.view.state is State.SUCCEEDED
    assert life.result == store.result(job_id)
    assert [record.actual for record in life.feedback] == [3, 7]
    assert (life.holding, life.published_at) == (None, None)


def test_the_inputs_are_apart(store):
    (job_id,) = accepted(store, inputs='[[1.5,"a"]]')
    assert store.inputs(job_id) == [[1.5, "a"]]


@pytest.mark.parametrize("stranger", ["01890a5d-ac96-774b-bcce-b302099a8057", "no id at all"])
def test_an_unknown_job(store, stranger):
    for ask in (store.life, store.inputs):
        with pytest.raises(UnknownJob, match=stranger):
            ask(JobId(stranger))
