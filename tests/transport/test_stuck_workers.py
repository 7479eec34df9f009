"""Real workers that stop fetching, as consumers do after some reconnects."""

import pytest
from brokers import Redis, redis_binary
from checks import assert_each_succeeded_once, register_model, rows_for
from harness import running_on
from misbehaving import Base

from inferq_workers.stuck import EXIT_STUCK


@pytest.fixture
def system(tmp_path):
    broker = Redis(tmp_path / "broker", redis_binary())
    try:
        with running_on(broker, tmp_path, None, stuck_after=3.0) as system:
            yield system
    finally:
        broker.close()


def submit(system, count):
    rows = rows_for(count)
    return [system.client.submit("sum", row[None, :]) for row in rows], rows


def test_a_stuck_worker_connects_anew_and_works(system):
    register_model(system, "sum", Base())
    worker = system.start_worker(INFERQ_TEST_STUCK="once")
    jobs, rows = submit(system, 5)
    assert_each_succeeded_once(system, jobs, rows)
    assert "worker_reconnects" in worker.log.read_text()
    assert "worker_stuck" not in worker.log.read_text()
    assert worker.poll() is None


def test_a_worker_that_stays_stuck_makes_way_for_another(system):
    register_model(system, "sum", Base())
    worker = system.start_worker(INFERQ_TEST_STUCK="always")
    jobs, rows = submit(system, 5)
    assert worker.wait(120) == EXIT_STUCK
    assert "worker_stuck" in worker.log.read_text()
    system.start_worker()
    assert_each_succeeded_once(system, jobs, rows)
