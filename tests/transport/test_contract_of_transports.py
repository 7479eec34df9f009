"""What every broker and its transport promise; no worker is involved."""

import pytest
from brokers import PATIENCE, depth, publish
from harness import wait_for

from inferq_core.states import Priority


def test_messages_of_one_priority_come_in_their_order(broker, queue_name, taker):
    publish(broker, queue_name, range(300))
    assert taker(broker, queue_name).take(300) == list(range(300))


def test_a_backlog_comes_by_priority(broker, queue_name, taker):
    publish(broker, queue_name, range(20, 30), Priority.BULK)
    publish(broker, queue_name, range(10, 20), Priority.NORMAL)
    publish(broker, queue_name, range(10), Priority.INTERACTIVE)
    assert taker(broker, queue_name).take(30) == list(range(30))


def test_interactive_work_overtakes_what_is_waiting(broker, queue_name, taker):
    publish(broker, queue_name, range(100), Priority.BULK)
    consumer = taker(broker, queue_name, prefetch=5)
    consumer.take(5)
    publish(broker, queue_name, [1000], Priority.INTERACTIVE)
    wait_for(lambda: depth(broker, queue_name) == 96, timeout=10, what="the broker to have it")
    consumer.ack()
    assert consumer.take(10)[5] == 1000


def test_no_more_come_than_the_prefetch_count_and_acknowledging_makes_room(broker, queue_name, taker):
    publish(broker, queue_name, range(50))
    consumer = taker(broker, queue_name, prefetch=7)
    consumer.take(7)
    assert not any(consumer.turn() for _ in range(5))
    assert len(consumer.got) == 7
    while len(consumer.got) < 50:
        consumer.ack()
        before = len(consumer.got)
        consumer.take(min(before + 7, 50))
        assert len(consumer.got) <= before + 7
    assert consumer.numbers == list(range(50))


def test_a_paused_consumer_goes_on(broker, queue_name, taker):
    consumer = taker(broker, queue_name, prefetch=1)
    publish(broker, queue_name, range(2))
    consumer.take(1)
    assert not any(consumer.turn() for _ in range(8))  # longer than a blocking command waits
    consumer.ack()
    assert consumer.take(2) == [0, 1]


def test_several_queues_are_served(broker, queue_name, taker):
    names = [f"{queue_name}{letter}" for letter in "abc"]
    consumer = taker(broker, *names)
    for offset, name in enumerate(names):
        publish(broker, name, range(offset * 100, offset * 100 + 20))
    numbers = consumer.take(60)
    for offset in range(3):
        assert [n for n in numbers if n // 100 == offset] == list(range(offset * 100, offset * 100 + 20))


def test_what_is_not_acknowledged_goes_back_in_its_order_when_the_consumer_ends(broker, queue_name, taker):
    publish(broker, queue_name, range(30))
    publish(broker, queue_name, range(100, 105), Priority.INTERACTIVE)
    first = taker(broker, queue_name, prefetch=15)
    assert first.take(15) == [100, 101, 102, 103, 104, *range(10)]
    for message in first.got[:2]:
        message.ack()
    first.close()
    assert taker(broker, queue_name).take(33) == [102, 103, 104, *range(30)]


def test_what_is_requeued_comes_again(broker, queue_name, taker):
    publish(broker, queue_name, range(5))
    consumer = taker(broker, queue_name, prefetch=5)
    consumer.take(5)
    for message in reversed(consumer.got):
        message.requeue()
    assert sorted(consumer.take(10)[5:]) == list(range(5))  # RabbitMQ delivers each as soon as it has it


def test_what_was_not_acknowledged_when_the_connection_was_cut_comes_again(broker, queue_name, taker):
    publish(broker, queue_name, range(5))
    first = taker(broker, queue_name)
    first.take(5)
    for message in first.got[:2]:
        message.ack()
    assert not first.turn()  # the acknowledgements are sent, and a command is under way
    broker.cut()
    with pytest.raises(first.connection.connection_errors):
        first.turn(PATIENCE)
    first.connection.collect()
    publish(broker, queue_name, range(5, 10))
    assert taker(broker, queue_name).take(8) == list(range(2, 10))


def test_after_cancelling_nothing_comes_and_nothing_is_lost(broker, queue_name, taker):
    consumer = taker(broker, queue_name)
    consumer.turn()  # a command is under way
    consumer.consumer.cancel()
    publish(broker, queue_name, range(10))
    consumer.turn(2)
    consumer.close()
    assert consumer.got == []
    assert taker(broker, queue_name).take(10) == list(range(10))
