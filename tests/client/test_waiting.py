"""States and results are true at any moment; waiting ends with the job, or in time."""

import itertools

import pytest
from installation import ROW, in_thread, until

from inferq import Client, ErrorCode, JobFailed, State, UnknownJob, WaitTimeout
from inferq_core.broker import CONNECT_TIMEOUT
from inferq_core.ids import new_job_id
from inferq_core.notify import CHANNEL_PREFIX, Notifier, encode_results
from inferq_core.redis_lists import client_of


def test_a_result_tells_everything(installation):
    job = installation.client.submit("sums", ROW)
    installation.finish(job, predict_seconds=0.25)
    result = job.result(timeout=5)
    assert (result.id, result.state, result.outputs) == (job.id, State.SUCCEEDED, [7])
    assert (result.model, result.version, result.attempt, result.batch_rows) == ("sums", 1, 1, 1)
    assert result.timings.queued >= 0
    assert result.timings.predicted == pytest.approx(0.25, abs=0.001)
    assert result.timings.total >= result.timings.queued
    assert job.state() is State.SUCCEEDED


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.FAILED, ErrorCode.MODEL_ERROR),
        (State.EXPIRED, ErrorCode.DEADLINE_EXCEEDED),
        (State.CANCELLED, ErrorCode.CANCELLED),
    ],
)
def test_a_job_that_ended_otherwise_says_why(installation, state, code):
    job = installation.client.submit("sums", ROW)
    installation.finish(job, state=state, outputs=None, error_code=code, error_message="because")
    with pytest.raises(JobFailed, match="because") as caught:
        job.result(timeout=5)
    assert (caught.value.code, caught.value.job_id) == (code, job.id)
    assert installation.client.result(job.id).state is state


def test_a_waiting_caller_gets_the_result_by_polling(installation):
    job = installation.client.submit("sums", ROW)
    answers = in_thread(lambda: job.result(timeout=30))
    installation.finish(job)
    assert answers().outputs == [7]


def test_jobs_are_handed_out_as_they_end_each_once(installation):
    jobs = installation.client.submit_many("sums", [ROW] * 30)
    installation.finish(*jobs[20:])
    completed = installation.client.as_completed([*jobs, *jobs], timeout=30)
    assert set(itertools.islice(completed, 10)) == set(jobs[20:])
    installation.finish(*jobs[:20])
    rest = list(completed)
    assert len(rest) == 20
    assert {job.result(timeout=0).outputs[0] for job in rest} == {7}


def test_more_jobs_than_one_query_takes(installation, monkeypatch):
    monkeypatch.setattr("inferq.waiting.POLL_WINDOW", 10)
    jobs = installation.client.submit_many("sums", [ROW] * 95)
    installation.finish(*jobs[::-2])
    installation.finish(*jobs[-2::-2])
    assert set(installation.client.as_completed(jobs, timeout=30)) == set(jobs)


def test_a_notification_wakes_the_waiting_caller(installation, monkeypatch):
    monkeypatch.setattr("inferq.waiting.POLL_FIRST", 3600.0)
    client = installation.client
    small, large = client.submit("sums", ROW), client.submit("sums", ROW)
    reply_to = client._waiter.reply_to
    answers = in_thread(lambda: list(client.as_completed([small, large])))
    broker = client_of(installation.settings.broker, connect_timeout=CONNECT_TIMEOUT)
    channel = f"{CHANNEL_PREFIX}{reply_to}"
    until(lambda: dict(broker.pubsub_numsub(channel))[channel.encode()])
    installation.finish(small)
    installation.finish(large, outputs=None)
    notifier = Notifier(installation.settings.broker)
    notifier.notify({reply_to: [installation.store.result(small.id)]})
    broker.publish(channel, b'["' + large.id.encode() + b'"]')  # an outcome too large to be carried
    assert {job.id for job in answers()} == {small.id, large.id}
    notifier.close()
    broker.close()


def test_strange_notifications_are_no_results(installation):
    """Ids of others and ids of unfinished jobs end nothing."""
    client = installation.client
    job, other = client.submit("sums", ROW), client.submit("sums", ROW)
    installation.finish(other)
    client._waiter._on_results([installation.store.result(other.id)], [str(new_job_id())])

    def wait_in_vain():
        with pytest.raises(WaitTimeout):
            job.result(timeout=0.3)

    waiting = in_thread(wait_in_vain)
    client._waiter._on_results([], [job.id])
    client._waiter._on_results([], [])
    waiting()
    assert encode_results([]) == b"[]"


def test_another_client_can_wait_for_the_job(installation):
    job = installation.client.submit("sums", ROW)
    installation.finish(job)
    with Client(installation.settings) as other:
        assert other.job(job.id).result(timeout=5).outputs == [7]


def test_feedback_keeps_the_last_truth(installation):
    job, other = installation.client.submit_many("sums", [ROW, ROW])
    installation.client.feedback(job.id, 6)
    installation.client.feedback(job, [7])
    assert installation.store.feedback([job.id, other.id])[job.id].actual == [7]
    with pytest.raises(UnknownJob):
        installation.client.feedback_many([(other, 1), (str(new_job_id()), 1)])
    assert other.id not in installation.store.feedback([other.id])
