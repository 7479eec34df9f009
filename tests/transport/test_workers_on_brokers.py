"""Real workers on real brokers: what happens to the work when the connection, the broker or the worker ends."""

import os
import pickle
import zlib
from contextlib import closing
from pathlib import Path

import kombu
import numpy as np
import orjson
import psutil
import pytest
from brokers import Redis, connect, redis_binary, started
from checks import assert_each_succeeded_once, register_model, rows_for
from harness import running_on, wait_for
from misbehaving import Raiser, Slow

from inferq import State
from inferq_core.broker import SET_ASIDE_QUEUE, Publisher
from inferq_core.ids import new_job_id
from inferq_core.messages import JobMessage, Limits
from inferq_core.redis_lists import key_of
from inferq_core.states import Priority

HUGE = 10 * 1024 * 1024
NORMAL = 3


@pytest.fixture(params=["redis", "rabbitmq"])
def system(request, tmp_path):
    """No keeper: what is lost stays lost."""
    broker = started(request.param, tmp_path / "broker")
    yield from running(tmp_path, broker)


@pytest.fixture
def forgetful_system(tmp_path):
    """On a Redis that keeps nothing over a restart."""
    yield from running(tmp_path, Redis(tmp_path / "broker", redis_binary(), "--appendonly", "no"))


@pytest.fixture
def amqp_system(tmp_path):
    yield from running(tmp_path, started("rabbitmq", tmp_path / "broker"))


@pytest.fixture
def watched_system(tmp_path):
    yield from running(tmp_path, started("sentinel", tmp_path / "broker"))


def running(folder, broker):
    try:
        with running_on(broker, folder, None, max_batch_rows=1) as system:
            yield system
    finally:
        broker.close()


def submit(system, count, **options):
    rows = rows_for(count)
    return [system.client.submit("sum", row[None, :], **options) for row in rows], rows


def waiting(system):
    """Messages that no worker has."""
    with closing(Publisher(system.broker.url)) as publisher:
        return publisher.depth("predictions")


def done(system, jobs):
    return sum(state.terminal for state in system.states(jobs).values())


def celery_says(system, *arguments):
    process = system.start_celery(*arguments)
    assert process.wait(60) == 0
    return process.log.read_text()


def test_a_worker_works_and_answers_questions(system):
    register_model(system, "sum", Slow(0.5))
    worker = system.start_worker()
    jobs, _ = submit(system, 3)
    wait_for(lambda: done(system, jobs), timeout=60, what="the first results")
    assert "pong" in celery_says(system, "inspect", "ping")
    assert '"inferq.predict": ' in celery_says(system, "inspect", "stats", "--json")
    more, _ = submit(system, 40)
    wait_for(lambda: done(system, more), timeout=60, what="more results")
    assert "no longer consuming" in celery_says(system, "control", "cancel_consumer", "predictions")
    (left,), _ = submit(system, 1)
    wait_for(lambda: waiting(system) == 1, timeout=20, what="nobody to take it")
    assert "add consumer" in celery_says(system, "control", "add_consumer", "predictions")
    wait_for(lambda: done(system, [left]), timeout=60, what="the worker to take it again")
    assert worker.poll() is None


def test_work_in_hand_outlives_a_cut_connection(system):
    register_model(system, "sum", Slow(0.2))
    worker = system.start_worker()
    jobs, rows = submit(system, 40)
    wait_for(lambda: waiting(system) == 0 and done(system, jobs) >= 4, timeout=60, what="the worker to have all")
    system.broker.cut()
    wait_for(lambda: "Connection to broker lost" in worker.log.read_text(), timeout=30, what="the worker to notice")
    assert done(system, jobs) < len(jobs)
    assert_each_succeeded_once(system, jobs, rows)
    again, _ = submit(system, 4)
    wait_for(lambda: done(system, again) == 4, timeout=60, what="new work to be done")


def test_work_in_hand_outlives_the_broker(forgetful_system):
    system = forgetful_system
    register_model(system, "sum", Slow(0.2))
    worker = system.start_worker()
    jobs, rows = submit(system, 40)
    wait_for(lambda: waiting(system) == 0 and done(system, jobs) >= 4, timeout=60, what="the worker to have all")
    system.broker.restart()
    wait_for(lambda: "Connection to broker lost" in worker.log.read_text(), timeout=30, what="the worker to notice")
    assert done(system, jobs) < len(jobs)
    assert_each_succeeded_once(system, jobs, rows)


def test_work_goes_on_at_the_server_that_the_sentinel_names_next(watched_system):
    system = watched_system
    register_model(system, "sum", Slow(0.2))
    worker = system.start_worker()
    system.start_keeper()
    jobs, rows = submit(system, 40)
    wait_for(lambda: done(system, jobs) >= 4, timeout=60, what="the first results")
    system.broker.fail_over()
    more, more_rows = submit(system, 10)
    assert_each_succeeded_once(system, [*jobs, *more], np.vstack([rows, more_rows]))
    last, _ = submit(system, 1)
    assert last[0].result(timeout=60).state is State.SUCCEEDED
    assert worker.poll() is None


def test_a_worker_that_ends_gives_back_at_once_what_it_has_not_begun(system):
    register_model(system, "sum", Slow(3.0))
    worker = system.start_worker()
    jobs, rows = submit(system, 30)
    wait_for(lambda: running_now(system, jobs) == 2 and waiting(system) == 0, timeout=60, what="the worker to have all")
    worker.terminate()
    wait_for(lambda: waiting(system) == 28, timeout=20, what="the others to be given back")
    assert worker.poll() is None, "it still runs what it had begun"
    if system.broker.is_redis:
        assert order(system) == [job.id for job in jobs[2:]]
    assert worker.wait(60) == 0
    assert waiting(system) == 28
    assert done(system, jobs) == 2
    register_model(system, "sum", Raiser())
    system.start_worker()
    assert_each_succeeded_once(system, jobs, rows)


def running_now(system, jobs):
    return sum(state is State.RUNNING for state in system.states(jobs).values())


def order(system):
    items = system.broker.client.lrange(key_of("predictions", NORMAL), 0, -1)
    return [orjson.loads(orjson.loads(item)["body"])[0][1][0] for item in reversed(items)]


def test_a_worker_whose_hands_are_full_rests(system):
    register_model(system, "sum", Slow(30.0))
    worker = system.start_worker()
    submit(system, 700)
    wait_for(lambda: 0 < waiting(system) < 250, timeout=60, what="the worker to have all that it takes")
    process = psutil.Process(worker.pid)
    wait_for(lambda: process.cpu_percent(1.0) < 20, timeout=30, what="the main process to rest")
    assert process.cpu_percent(3.0) < 20
    system.kill(worker)


def strange_on_amqp(connection, store_id, trap):
    """Publishes what no worker should take, and tells how much it was."""
    producer = kombu.Producer(connection.channel())
    celery = {"task": "inferq.predict", "id": "x", "lang": "py"}
    ours = JobMessage(store_id, "sum", [new_job_id()], 1, "predictions", Priority.NORMAL, 1.0, Limits(10, 10.0))
    foreign = JobMessage("another", "sum", [new_job_id()], 1, "predictions", Priority.NORMAL, 1.0, Limits(10, 10.0))
    pickled = pickle.dumps(Trap(trap))
    packed = {**ours.headers(), "compression": "application/x-gzip"}
    bodies = [
        (b"\x00\xff" * 500, {}, "application/octet-stream", "binary"),
        (b"", {}, "text/plain", "utf-8"),
        (os.urandom(HUGE), celery, "application/json", "utf-8"),
        (pickled, celery, "application/x-python-serialize", "binary"),
        (pickled, {**celery, "eta": "2020-01-01T00:00:00"}, "application/x-python-serialize", "binary"),
        (b"a: b", celery, "application/x-yaml", "utf-8"),
        (b'{"task": "inferq.predict", "id": "x", "args": []}', {}, "application/json", "utf-8"),
        (b"[[], {}, {}]", {"task": "os.system", "id": "x"}, "application/json", "utf-8"),
        (b"[[], {}, {}]", {"id": "x"}, "application/json", "utf-8"),
        (foreign.body(), foreign.headers(), "application/json", "utf-8"),
        (zlib.compress(b"0" * HUGE), packed, "application/json", "utf-8"),
        (ours.body(), ours.headers(), "application/json", "no-such-encoding"),
    ]
    for body, headers, content_type, encoding in bodies:
        producer.publish(
            body,
            exchange="",
            routing_key="predictions",
            headers=headers,
            content_type=content_type,
            content_encoding=encoding,
        )
    return len(bodies)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_what_strangers_send_over_amqp_is_set_aside(amqp_system):
    system = amqp_system
    register_model(system, "sum", Raiser())
    jobs, _ = submit(system, 3)
    trap = system.folder / "trap"
    with connect(system.broker.url) as connection:
        strange = strange_on_amqp(connection, system.store.store_id, trap)
    worker = system.start_worker()
    jobs += [system.client.submit("sum", row[None, :]) for row in rows_for(5)[3:]]
    assert_each_succeeded_once(system, jobs, rows_for(5))
    with connect(system.broker.url) as connection:
        channel = connection.channel()
        aside = kombu.Queue(SET_ASIDE_QUEUE, durable=True, max_length=10_000)(channel)
        wait_for(
            lambda: aside.queue_declare().message_count == strange - 1,
            timeout=60,
            what="all of it in the other queue, but the one that only has a strange name for its encoding",
        )
        kept = [aside.get(no_ack=True) for _ in range(strange - 1)]
    assert all(message.headers["inferq_set_aside"] for message in kept)
    assert max(len(message.body) for message in kept) <= 65_536
    assert worker.poll() is None
    assert not trap.exists()
    assert waiting(system) == 0
