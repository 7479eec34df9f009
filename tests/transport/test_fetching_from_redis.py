"""What only our Redis transport does, on real servers."""

import logging
from contextlib import closing
from time import monotonic

import kombu
import orjson
import pytest
from brokers import PATIENCE, Commands, Redis, connect, depth, numbered, publish, redis_binary
from harness import wait_for

from inferq_core.broker import SET_ASIDE_QUEUE, queue
from inferq_core.redis_lists import encode, key_of
from inferq_core.states import Priority

NORMAL = 3


def left(broker, queue_name, step=NORMAL):
    """The numbers in a list, in the order in which they come out."""
    items = broker.client.lrange(key_of(queue_name, step), 0, -1)
    return [int(orjson.loads(item)["body"].split('"m')[1].split('"')[0]) for item in reversed(items)]


def turn_until_it_fails(consumer):
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline:
        consumer.turn()
        consumer.ack()  # a paused consumer would not look


def counts(commands):
    return [int(command.split()[-1]) for command in commands.named("BLMPOP")]


def test_a_command_asks_for_no_more_than_the_credit(many_broker, queue_name, taker):
    publish(many_broker, queue_name, range(30))
    consumer = taker(many_broker, queue_name, prefetch=10)
    with Commands(many_broker) as commands:
        consumer.take(10)
        for message in consumer.got[:4]:
            message.ack()
        consumer.take(14)
        consumer.turn()
        assert counts(commands) == [10, 4]


def test_many_come_with_one_command(many_broker, queue_name, taker):
    publish(many_broker, queue_name, range(100))
    consumer = taker(many_broker, queue_name, prefetch=200)
    with Commands(many_broker) as commands:
        assert consumer.turn(5)
        assert consumer.numbers == list(range(100))
        assert counts(commands) == [200]


def test_what_is_too_much_when_it_comes_goes_back_in_its_order(many_broker, queue_name, taker):
    publish(many_broker, queue_name, range(50))
    consumer = taker(many_broker, queue_name, prefetch=40)
    consumer.channel.qos.takes = lambda _level: len(consumer.got) < 3
    consumer.take(3)
    assert consumer.numbers == [0, 1, 2]
    assert left(many_broker, queue_name) == list(range(3, 50))


def test_a_consumer_that_fails_loses_only_what_it_held(redis_broker, queue_name, taker):
    publish(redis_broker, queue_name, range(10))
    consumer = taker(redis_broker, queue_name, prefetch=10)

    def fail(message):
        consumer.got.append(message)
        if len(consumer.got) == 4:
            raise RuntimeError("cannot take it")

    consumer.consumer.on_message = fail
    with pytest.raises(RuntimeError):
        consumer.take(10)
    assert left(redis_broker, queue_name) == list(range(4, 10))
    consumer.close()
    assert left(redis_broker, queue_name) == list(range(10))


def test_what_came_after_the_last_look_goes_back_as_well(redis_broker, queue_name, taker):
    publish(redis_broker, queue_name, range(3))
    consumer = taker(redis_broker, queue_name, prefetch=5)
    consumer.take(3)
    consumer.turn()  # a command is under way, and gets what comes now
    publish(redis_broker, queue_name, range(3, 10))
    wait_for(lambda: depth(redis_broker, queue_name) < 7, timeout=10, what="the command to take some")
    consumer.channel.hand_back()
    assert left(redis_broker, queue_name) == list(range(10))
    consumer.close()
    assert left(redis_broker, queue_name) == list(range(10))


def test_lists_may_have_a_prefix(redis_broker, queue_name, taker):
    consumer = taker(redis_broker, queue_name, prefetch=5, global_keyprefix="mine:")
    with connect(redis_broker.url, global_keyprefix="mine:") as connection:
        kombu.Producer(connection.channel()).publish(
            b"x",
            exchange="",
            routing_key=queue_name,
            priority=NORMAL,
            content_type="text/plain",
            content_encoding="utf-8",
        )
    publish(redis_broker, queue_name, [77])  # without the prefix: it is for others
    redis_broker.client.lpush(
        key_of(f"mine:{queue_name}", NORMAL), *map(encode, numbered(queue_name, range(3))), b"junk"
    )
    wait_for(lambda: consumer.turn() and len(consumer.got) == 4, timeout=10, what="four messages")
    foreign = consumer.got.pop(0)
    assert foreign.body == b"x"
    foreign.ack()
    assert consumer.numbers == [0, 1, 2]
    wait_for(
        lambda: consumer.turn() or redis_broker.client.llen(f"mine:{SET_ASIDE_QUEUE}") == 1, timeout=10, what="the junk"
    )
    consumer.close()
    assert left(redis_broker, f"mine:{queue_name}") == [0, 1, 2]
    assert left(redis_broker, queue_name) == [77]


def test_a_server_without_the_command_is_asked_one_by_one_and_told_of(tmp_path, queue_name, taker, caplog):
    with closing(Redis(tmp_path, redis_binary(), "--rename-command", "BLMPOP", "")) as broker:
        publish(broker, queue_name, range(3))
        with caplog.at_level(logging.WARNING):
            consumer = taker(broker, queue_name)
            # Both have asked before either is refused.
            other = kombu.Consumer(
                consumer.connection.channel(), [queue(f"{queue_name}b", broker.url)], on_message=consumer.got.append
            )
            other.consume()
            publish(broker, f"{queue_name}b", [10])
            assert sorted(consumer.take(4)) == [0, 1, 2, 10]
        assert 1 <= caplog.text.count("fetching_one_by_one") <= 2
        consumer.close()


def test_a_paused_consumer_goes_on_after_a_restart(tmp_path, queue_name, taker):
    with closing(Redis(tmp_path, redis_binary())) as broker:
        publish(broker, queue_name, range(10))
        consumer = taker(broker, queue_name, prefetch=5)
        consumer.take(5)
        broker.restart()
        consumer.turn()  # notices
        consumer.ack()
        assert consumer.take(10) == list(range(10))
        consumer.close()


def test_a_restart_under_a_command_is_an_error(tmp_path, queue_name, taker):
    with closing(Redis(tmp_path, redis_binary())) as broker:
        consumer = taker(broker, queue_name)
        consumer.turn()
        broker.restart()
        with pytest.raises(consumer.connection.connection_errors):
            turn_until_it_fails(consumer)


def test_a_server_that_went_away_is_not_waited_for_when_closing(tmp_path, queue_name, taker, caplog):
    broker = Redis(tmp_path, redis_binary())
    publish(broker, queue_name, range(200))
    consumer = taker(broker, queue_name, prefetch=100)
    consumer.take(100)
    broker.stop()
    with caplog.at_level(logging.WARNING):
        consumer.close()
    assert caplog.text.count("messages_not_given_back") == 1  # all in one try
    assert not consumer.channel.qos._on_collect.still_active()  # nor once more when the process ends
    broker.client.close()


def test_a_silent_server_is_noticed(tmp_path, queue_name, taker):
    with closing(Redis(tmp_path, redis_binary())) as broker:
        consumer = taker(broker, queue_name, health_check_interval=0.5, socket_timeout=0.5)
        consumer.turn()
        broker.freeze()
        try:
            with pytest.raises(consumer.connection.connection_errors):
                turn_until_it_fails(consumer)
        finally:
            broker.thaw()
        consumer.connection.collect()
        publish(broker, queue_name, range(3))
        assert taker(broker, queue_name).take(3) == [0, 1, 2]


def unblock(server):
    """As a failover does to clients that wait."""
    assert any(server.client_unblock(client["id"], error=True) for client in server.client_list())


def demote(server):
    server.replicaof("127.0.0.1", 1)


def take_rights(server):
    server.execute_command("ACL", "SETUSER", "default", "resetkeys")


@pytest.mark.parametrize("trouble", [unblock, demote, take_rights])
def test_a_server_that_refuses_is_as_one_that_is_away(tmp_path, queue_name, taker, trouble):
    with closing(Redis(tmp_path, redis_binary())) as broker:
        consumer = taker(broker, queue_name)
        consumer.turn()
        trouble(broker.client)
        with pytest.raises(consumer.connection.connection_errors, match="gives no messages"):
            turn_until_it_fails(consumer)


def test_a_full_server_that_keeps_no_junk_ends_nobody(tmp_path, queue_name, taker, caplog):
    with closing(Redis(tmp_path, redis_binary())) as broker:
        publish(broker, queue_name, range(2))
        broker.client.lpush(key_of(queue_name, NORMAL), b"junk")
        publish(broker, queue_name, [2])
        broker.client.config_set("maxmemory", 1)
        consumer = taker(broker, queue_name, prefetch=10)
        with caplog.at_level(logging.WARNING):
            assert consumer.take(3) == [0, 1, 2]
        assert "message_dropped" in caplog.text
        broker.client.config_set("maxmemory", 0)
        consumer.close()
        assert left(broker, queue_name) == [0, 1, 2]


def test_priorities_lie_in_lists_of_their_own(redis_broker, queue_name):
    for number, priority in enumerate(Priority):
        publish(redis_broker, queue_name, [number], priority)
    lists = {priority: left(redis_broker, queue_name, step) for priority, step in zip(Priority, (0, 3, 6), strict=True)}
    assert lists == {priority: [number] for number, priority in enumerate(Priority)}
