"""Results that are announced before, while and after somebody waits for them."""

import pytest
from installation import ROW, in_thread, until

from inferq import State
from inferq.waiting import Expectations
from inferq_core.notify import Notifier


@pytest.fixture
def listening(installation):
    """A client whose subscription is alive."""
    client = installation.client
    first = client.submit("sums", ROW)
    list(zip(range(0), client.as_completed([first], timeout=0.01), strict=False))
    client._waiter._listen()
    client._waiter._subscribing.join()
    assert client._waiter._listener.is_live
    return client


@pytest.fixture
def notifier(installation):
    notifier = Notifier(installation.settings.broker)
    yield notifier
    notifier.close()


def finish_and_tell(installation, notifier, job):
    installation.finish(job)
    notifier.notify({installation.client._waiter.reply_to: [installation.store.result(job.id)]})


def without_store(client, monkeypatch):
    def asked(*_):
        raise AssertionError("the store was asked")

    for name in ("result", "results", "state", "states"):
        monkeypatch.setattr(client._store, name, asked)


def test_a_result_that_came_before_anybody_waited_is_there(installation, listening, notifier, monkeypatch):
    job = listening.submit("sums", ROW)
    finish_and_tell(installation, notifier, job)
    until(lambda: listening._waiter._expected._early)
    without_store(listening, monkeypatch)
    assert job.result(timeout=30).state is State.SUCCEEDED
    assert not listening._waiter.is_expected(job.id)


def test_whoever_submits_and_waits_asks_no_store(installation, listening, notifier, monkeypatch):
    monkeypatch.setattr("inferq.waiting.POLL_EXPECTED", 3600.0)
    job = listening.submit("sums", ROW)
    installation.finish(job)  # nobody is told yet
    stored = installation.store.result(job.id)
    without_store(listening, monkeypatch)
    answer = in_thread(lambda: listening.result(job.id, timeout=60))
    until(lambda: listening._waiter._waits)
    notifier.notify({listening._waiter.reply_to: [stored]})
    assert answer().state is State.SUCCEEDED


def test_a_lost_notification_costs_time_only(installation, listening):
    job = listening.submit("sums", ROW)
    installation.finish(job)
    assert job.result(timeout=30).state is State.SUCCEEDED


def test_a_short_wait_looks_into_the_store_before_it_ends(installation, listening):
    job = listening.submit("sums", ROW)
    installation.finish(job)
    assert job.result(timeout=0.01).state is State.SUCCEEDED


def test_a_broken_subscription_forgets_what_it_expected(listening):
    job = listening.submit("sums", ROW)
    assert listening._waiter.is_expected(job.id)
    listening._waiter._on_results([], [])
    assert not listening._waiter.is_expected(job.id)


def test_no_more_is_kept_than_allowed(monkeypatch):
    monkeypatch.setattr("inferq.waiting.MAX_EXPECTED", 3)
    expectations = Expectations()
    for number in range(5):
        expectations.add(str(number))
    assert [str(number) in expectations for number in range(5)] == [False, False, True, True, True]
