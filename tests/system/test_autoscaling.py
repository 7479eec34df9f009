"""A worker follows its backlog up and down, and interrupts nothing on the way."""

from itertools import pairwise

import numpy as np
import psutil
import pytest
from checks import finish, register_model, rows_for
from harness import lives, running, wait_for
from misbehaving import Slow

BATCH_ROWS = 4
BATCH_SECONDS = 0.05
MAXIMUM, MINIMUM = 4, 1


@pytest.fixture(params=["sqlite", "postgresql"])
def scaling_system(request, tmp_path, redis_binary):
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with running(tmp_path, redis_binary, url, target_wait=1.0, scale_down_after=3.0) as system:
        yield system


def processes(worker):
    return sum(map(lives, psutil.Process(worker.pid).children()))


def test_a_burst_is_followed_to_the_maximum_and_back(scaling_system):
    system = scaling_system
    register_model(system, "sum", Slow(BATCH_SECONDS), max_batch_rows=BATCH_ROWS)
    worker = system.start_worker("--autoscale", f"{MAXIMUM},{MINIMUM}")
    # Given a worker that knows what its batches cost, and has few enough processes for a quiet time,
    usual = system.client.submit_many("sum", rows_for(20))
    finish(system, usual)
    wait_for(lambda: processes(worker) == MINIMUM, timeout=60, what="the minimum")
    # when 20 times as many rows come,
    rows = rows_for(400)
    burst = system.client.submit_many("sum", rows)
    # then it goes up to the maximum while they run,
    wait_for(lambda: processes(worker) == MAXIMUM, timeout=30, what="the maximum")
    # goes down again although work keeps coming,
    trickle = []

    def back_to_minimum():
        trickle.append(system.client.submit("sum", np.ones((1, 4))))
        return processes(worker) == MINIMUM

    results = finish(system, burst)
    wait_for(back_to_minimum, timeout=90, what="the minimum again")
    # and no job was interrupted.
    results |= finish(system, trickle) | finish(system, usual)
    assert [results[job.id].outputs for job in burst] == [[float(row.sum())] for row in rows]
    assert {result.attempt for result in results.values()} == {1}
    assert system.deaths(worker) == 0
    assert "WorkerLost" not in worker.log.read_text()
    assert_every_step_is_explained(system)
    assert system.stop(worker) == 0


def assert_every_step_is_explained(system):
    """The decisions lead without a gap from the minimum to the minimum, and their reasons hold."""

    def complete():
        steps = system.store.scaling_decisions()
        return steps if steps and steps[-1].to_processes == MINIMUM else None

    steps = wait_for(complete, timeout=20, what="the last decision")
    assert steps[0].from_processes == MINIMUM
    assert all(a.to_processes == b.from_processes for a, b in pairwise(steps))
    assert max(step.to_processes for step in steps) == MAXIMUM
    assert len({step.worker for step in steps}) == 1
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    for step in steps:
        inputs = step.inputs
        assert (inputs["minimum"], inputs["maximum"], inputs["target_wait"]) == (MINIMUM, MAXIMUM, 1.0)
        if step.reason == "backlog":
            assert step.from_processes < step.to_processes == inputs["wanted"]
            assert inputs["queued_rows"] + inputs["buffered_rows"] + inputs["running_rows"] > 0
            assert inputs["seconds_of_work"] > step.from_processes * inputs["target_wait"]
        else:
            assert step.reason == "calm"
            assert step.to_processes < step.from_processes


def test_without_processes_it_begins_with_one(system):
    """`--autoscale=2` means a minimum of 0 to Celery."""
    register_model(system, "sum", Slow(0.0))
    worker = system.start_celery("worker", "-Q", "predictions", "-O", "fair", "-l", "INFO", "--autoscale=2")
    finish(system, [system.client.submit("sum", rows_for(1))])
    first = wait_for(system.store.scaling_decisions, timeout=20, what="a decision")[0]
    assert (first.from_processes, first.to_processes, first.reason) == (0, 1, "bounds")
    assert system.stop(worker) == 0


def test_other_pools_are_refused_in_one_line(system):
    worker = system.start_celery("worker", "-Q", "predictions", "--pool", "threads", "--autoscale=2,1")
    assert worker.wait(60) == 2
    assert worker.log.read_text().strip().splitlines()[-1] == (
        "inferq: --autoscale needs the prefork pool; leave out --pool, or --autoscale"
    )
