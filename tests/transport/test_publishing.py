"""Publishing to Redis: in a burst the answer to one push is read by the next. Nothing may be lost by that."""

import logging
import signal
from contextlib import closing, contextmanager

import pytest
from brokers import redis_binary
from harness import RedisServer, wait_for

from inferq_core import redis_lists
from inferq_core.broker import Publisher
from inferq_core.errors import BrokerUnavailable
from inferq_core.ids import new_job_id
from inferq_core.messages import JobMessage, Limits
from inferq_core.redis_lists import STEPS, key_of
from inferq_core.states import Priority


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(redis_lists, "BURST", 600.0)  # however slow the machine
    server = RedisServer(tmp_path, redis_binary())
    yield server
    server.stop()


def message():
    return JobMessage("s", "sum", [new_job_id()], 1, "q", Priority.NORMAL, 1.0, Limits(10, 10.0))


def published(server, messages):
    """Numbers of those of `messages` that are in the list, the oldest first."""
    ids = [one.job_ids[0].encode() for one in messages]
    items = server.client.lrange(key_of("q", STEPS[Priority.NORMAL]), 0, -1)
    return [next(place for place, job_id in enumerate(ids) if job_id in item) for item in reversed(items)]


def test_a_burst_arrives_in_order(server):
    messages = [message() for _ in range(50)]

    with closing(Publisher(server.url)) as publisher:
        for one in messages:
            publisher.publish([one])

    assert published(server, messages) == list(range(50))


def test_what_a_dying_server_did_not_answer_is_published_to_the_next(server):
    # given a burst of which the last message has no answer yet, and a server that forgets all
    messages = [message() for _ in range(4)]
    with closing(Publisher(server.url)) as publisher:
        for one in messages[:2]:
            publisher.publish([one])
        wait_for(lambda: published(server, messages) == [0, 1], timeout=20, what="the first two and their answers")
        server.process.send_signal(signal.SIGSTOP)
        publisher.publish([messages[2]])
        server.process.kill()
        server.process.wait(20)
        server.start()

        # when the next one is published
        publisher.publish(messages[3:])

        # then so is the one without an answer
        assert published(server, messages) == [2, 3]


@contextmanager
def full(server):
    server.client.config_set("maxmemory", "1")
    yield
    server.client.config_set("maxmemory", "0")


def test_a_refusal_is_told_to_the_next_who_publishes_and_no_later(server):
    with closing(Publisher(server.url)) as publisher:
        publisher.publish([message()])
        with full(server):
            publisher.publish([message()])  # in the burst: its answer is not read yet
            with pytest.raises(BrokerUnavailable, match="maxmemory"):
                publisher.publish([message()])
            with pytest.raises(BrokerUnavailable, match="maxmemory"):
                publisher.publish([message()])
        server.client.flushall()

        # then it goes on as if nothing had been
        last = message()
        publisher.publish([last])
        assert published(server, [last]) == [0]


def test_the_first_of_a_burst_is_refused_at_once(server):
    with full(server), closing(Publisher(server.url)) as publisher, pytest.raises(BrokerUnavailable, match="maxmemory"):
        publisher.publish([message()])


def test_closing_waits_for_the_answers_and_says_what_the_broker_did_not_take(server, caplog):
    publisher = Publisher(server.url)
    publisher.publish([message()])
    with full(server), caplog.at_level(logging.WARNING):
        publisher.publish([message()])
        publisher.close()

    assert caplog.text.count("publish_failed") == 1


def test_closing_after_the_server_has_gone_says_so_and_raises_nothing(server, caplog):
    publisher = Publisher(server.url)
    publisher.publish([message()])
    server.process.send_signal(signal.SIGSTOP)
    publisher.publish([message()])  # in the burst, so nobody waits for the answer
    server.process.kill()
    server.process.wait(20)

    with caplog.at_level(logging.WARNING):
        publisher.close()

    assert caplog.text.count("publish_failed") == 1
    server.start()
