"""Taking jobs back: whoever waits is told, and what has ended stays."""

import pytest
from installation import ROW
from test_waiting import in_thread, until

from inferq import Client, ErrorCode, JobFailed, State, UnknownJob
from inferq_core.notify import CHANNEL_PREFIX
from inferq_core.redis_lists import client_of


def test_a_queued_job_is_cancelled(installation):
    job = installation.client.submit("sums", ROW)
    assert job.cancel() is True
    assert job.state() is State.CANCELLED
    with pytest.raises(JobFailed) as caught:
        job.result(timeout=5)
    assert caught.value.code is ErrorCode.CANCELLED
    assert job.cancel() is False


def test_a_job_that_has_ended_stays_as_it_is(installation):
    job = installation.client.submit("sums", ROW)
    installation.finish(job)
    assert installation.client.cancel(job) is False
    assert installation.client.cancel(job.id) is False
    assert job.result(timeout=5).outputs == [7]


def test_many_at_once(installation):
    queued, done = installation.client.submit_many("sums", [ROW] * 2)
    installation.finish(done)
    assert installation.client.cancel_many([queued, done.id, queued.id]) == {
        queued.id: State.QUEUED,
        done.id: State.SUCCEEDED,
    }
    assert installation.client.cancel_many([]) == {}


@pytest.mark.parametrize("stranger", ["01890a5d-ac96-774b-bcce-b302099a8057", "no id at all"])
def test_an_unknown_id_cancels_nothing(installation, stranger):
    job = installation.client.submit("sums", ROW)
    with pytest.raises(UnknownJob, match=stranger):
        installation.client.cancel(stranger)
    with pytest.raises(UnknownJob, match=stranger):
        installation.client.cancel_many([job, stranger])
    assert job.state() is State.QUEUED


def test_whoever_waits_is_told_by_another_client(installation, monkeypatch):
    """Without polls: only the notification can end this wait."""
    monkeypatch.setattr("inferq.waiting.POLL_FIRST", 3600.0)
    job = installation.client.submit("sums", ROW)
    channel = f"{CHANNEL_PREFIX}{installation.client._waiter.reply_to}"
    answer = in_thread(lambda: installation.client.result(job.id, timeout=50))
    with client_of(installation.settings.broker, connect_timeout=4) as broker:
        until(lambda: dict(broker.pubsub_numsub(channel))[channel.encode()])
    with Client(installation.settings) as other:
        assert other.cancel(job.id) is True
    assert answer().state is State.CANCELLED


def test_without_a_broker_it_is_cancelled_all_the_same(installation_without_broker):
    job = installation_without_broker.client.submit("sums", ROW)
    assert job.cancel() is True
    assert job.state() is State.CANCELLED
