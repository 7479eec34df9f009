"""Urgent work is fetched while there is enough of the other, on real servers."""

from contextlib import closing

import pytest
from brokers import PATIENCE, Commands, Redis, depth, publish, redis_binary
from harness import wait_for
from test_fetching_from_redis import left

from inferq_core.redis_lists import STEPS
from inferq_core.states import Priority

CREDIT, RESERVE = 5, 2


@pytest.fixture
def bounded(taker):
    """Makes consumers that hold 5 messages, and 2 more of each more urgent priority."""

    def make(broker, *queues):
        made = taker(broker, *queues, prefetch=CREDIT)
        made.channel.qos.bound = lambda level, held, credit: max(0, credit + RESERVE * (2 - level) - held)
        return made

    return make


@pytest.fixture
def full(bounded, redis_broker, queue_name):
    """One that holds all that it may of bulk work, of which there is more."""
    publish(redis_broker, queue_name, range(20), Priority.BULK)
    consumer = bounded(redis_broker, queue_name)
    consumer.take(CREDIT)
    consumer.turn()  # an urgent message is waited for
    return consumer


def test_urgent_work_comes_and_no_more_of_the_other(full, redis_broker, queue_name):
    publish(redis_broker, queue_name, [1000], Priority.INTERACTIVE)
    assert full.take(CREDIT + 1) == [*range(CREDIT), 1000]
    publish(redis_broker, queue_name, [2000], Priority.NORMAL)
    assert full.take(CREDIT + 2)[-1] == 2000
    assert not any(full.turn() for _ in range(3))
    assert depth(redis_broker, queue_name) == 15


def test_each_priority_has_its_own_reserve(full, redis_broker, queue_name):
    publish(redis_broker, queue_name, range(100, 120), Priority.NORMAL)
    full.take(CREDIT + RESERVE)
    full.turn()
    publish(redis_broker, queue_name, range(200, 220), Priority.INTERACTIVE)
    assert full.take(CREDIT + 2 * RESERVE) == [*range(CREDIT), 100, 101, 200, 201]
    assert not any(full.turn() for _ in range(3))
    full.ack()
    assert full.take(13)[9:13] == [202, 203, 204, 205]


def test_the_other_work_does_not_wait_for_urgent_work(full, redis_broker, queue_name):
    for held in range(CREDIT, 20, CREDIT):
        full.ack()  # while an urgent message is waited for
        assert full.take(min(held + CREDIT, 20)) == list(range(min(held + CREDIT, 20)))


def test_several_queues_are_looked_at(bounded, redis_broker, queue_name):
    names = [f"{queue_name}a", f"{queue_name}b"]
    publish(redis_broker, names[0], range(20), Priority.BULK)
    consumer = bounded(redis_broker, *names)
    consumer.take(CREDIT)
    publish(redis_broker, names[1], [1000], Priority.INTERACTIVE)
    assert consumer.take(CREDIT + 1)[-1] == 1000


def test_who_has_enough_of_everything_asks_for_nothing(many_broker, queue_name, bounded):
    publish(many_broker, queue_name, range(20), Priority.INTERACTIVE)
    consumer = bounded(many_broker, queue_name)
    consumer.take(CREDIT + 2 * RESERVE)
    with Commands(many_broker) as commands:
        assert not any(consumer.turn() for _ in range(5))
        assert commands.named("BLMPOP") == []


def test_what_came_after_the_last_look_goes_back(full, redis_broker, queue_name):
    publish(redis_broker, queue_name, range(1000, 1003), Priority.INTERACTIVE)
    wait_for(lambda: depth(redis_broker, queue_name) < 18, timeout=10, what="the command to take some")
    full.channel.hand_back()
    assert left(redis_broker, queue_name, STEPS[Priority.INTERACTIVE]) == [1000, 1001, 1002]
    assert left(redis_broker, queue_name, STEPS[Priority.BULK]) == list(range(20))
    full.close()
    assert depth(redis_broker, queue_name) == 23


def test_closing_gives_back_what_was_waited_for(full, redis_broker, queue_name):
    publish(redis_broker, queue_name, range(1000, 1003), Priority.INTERACTIVE)
    wait_for(lambda: depth(redis_broker, queue_name) < 18, timeout=10, what="the command to take some")
    full.close()
    assert left(redis_broker, queue_name, STEPS[Priority.INTERACTIVE]) == [1000, 1001, 1002]
    assert left(redis_broker, queue_name, STEPS[Priority.BULK]) == list(range(20))


def test_a_cut_connection_is_noticed(full, redis_broker, queue_name):
    redis_broker.cut()
    with pytest.raises(full.connection.connection_errors):
        wait_for(lambda: full.turn() and False, timeout=PATIENCE, what="an error")
    full.connection.collect()


def test_a_connection_that_was_closed_while_idle_is_opened_again(tmp_path, queue_name, bounded):
    with closing(Redis(tmp_path, redis_binary())) as broker:
        publish(broker, queue_name, range(20), Priority.BULK)
        publish(broker, queue_name, range(100, 104), Priority.NORMAL)
        consumer = bounded(broker, queue_name)
        consumer.take(CREDIT)
        publish(broker, queue_name, range(1000, 1010), Priority.INTERACTIVE)
        consumer.take(CREDIT + 2 * RESERVE)
        broker.cut()
        while consumer.turn():  # notices each of them
            pass
        wait_for(lambda: consumer.ack() or (consumer.turn() and len(consumer.got) == 34), timeout=PATIENCE, what="all")


def test_a_silent_server_is_noticed(tmp_path, queue_name, bounded, taker):
    with closing(Redis(tmp_path, redis_binary())) as broker:
        publish(broker, queue_name, range(20), Priority.BULK)
        consumer = bounded(broker, queue_name)
        consumer.channel.health_check_interval = 0.5
        consumer.take(CREDIT)
        consumer.turn()
        first = consumer.channel.express.client.connection._sock
        broker.freeze()
        try:
            with pytest.raises(consumer.connection.connection_errors):
                wait_for(lambda: consumer.turn() and False, timeout=PATIENCE, what="an error")
        finally:
            broker.thaw()
        assert first.fileno() == -1
        consumer.connection.collect()


def test_a_server_that_refuses_is_as_one_that_is_away(tmp_path, queue_name, bounded):
    with closing(Redis(tmp_path, redis_binary())) as broker:
        publish(broker, queue_name, range(20), Priority.BULK)
        consumer = bounded(broker, queue_name)
        consumer.take(CREDIT)
        consumer.turn()
        broker.client.replicaof("127.0.0.1", 1)
        with pytest.raises(consumer.connection.connection_errors, match="gives no messages"):
            wait_for(lambda: consumer.turn() and False, timeout=PATIENCE, what="an error")
