"""A broker that is silent and not gone (its process is stopped) holds up neither time limits nor signals nor Flower."""

import numpy as np
import pytest
from brokers import Redis, redis_binary
from checks import register_model
from harness import running_on, wait_for
from misbehaving import POISON, Stuck

from inferq import State


@pytest.fixture
def system(tmp_path):
    broker = Redis(tmp_path / "broker", redis_binary())
    try:
        with running_on(broker, tmp_path, None, max_batch_rows=1, time_limit=12.0) as system:
            try:
                yield system
            finally:
                broker.thaw()
    finally:
        broker.close()


def running_job(system):
    register_model(system, "sum", Stuck())
    job = system.client.submit("sum", np.array([[POISON, 0.0, 0.0, 0.0]]))
    wait_for(lambda: system.states([job])[job.id] is State.RUNNING, timeout=90, what="the batch to run")
    return job


def test_a_silent_broker_holds_up_neither_time_limits_nor_the_end(system):
    worker = system.start_worker()
    running_job(system)
    system.broker.freeze()
    wait_for(lambda: "Hard time limit" in worker.log.read_text(), timeout=60, what="the time limit to be kept")
    assert system.stop(worker) == 0


def test_events_go_on_when_the_broker_speaks_again(system):
    worker = system.start_worker()
    heartbeats = system.broker.client.pubsub(ignore_subscribe_messages=True)
    heartbeats.psubscribe("/0.celeryev/worker.heartbeat")
    wait_for(lambda: heartbeats.get_message(timeout=1), timeout=90, what="a heartbeat")
    system.broker.freeze()
    wait_for(lambda: "events_wait" in worker.log.read_text(), timeout=60, what="the worker to notice")
    system.broker.thaw()
    heartbeats.close()
    heartbeats.psubscribe("/0.celeryev/worker.heartbeat")
    wait_for(lambda: heartbeats.get_message(timeout=1), timeout=60, what="a heartbeat again")
    assert worker.poll() is None
