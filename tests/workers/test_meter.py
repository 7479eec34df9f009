"""What the main process learns about its backlog."""

import pytest

from inferq_core.ids import new_job_id
from inferq_core.messages import JobMessage, Limits
from inferq_core.policy.autoscale import Goal
from inferq_core.states import Priority
from inferq_workers.meter import Meter


def message(model, n_rows, max_rows=10):
    return JobMessage("s", model, [new_job_id()], n_rows, "predictions", Priority.NORMAL, 1.0, Limits(max_rows, 30.0))


@pytest.fixture
def meter():
    """Ten rows a message, three quarters of them `slow`; batches of ten rows take 1 s and 0.1 s."""
    meter = Meter(Goal(target_wait=1.0, stable_window=10.0))
    for _ in range(300):
        for model in ("slow", "slow", "slow", "fast"):
            meter.received(message(model, 10))
    for model, seconds in (("slow", 1.0), ("fast", 0.1)):
        meter.costs.ended(model, 10, 60.0, pid=1)  # loads the model
        meter.costs.ended(model, 10, seconds, pid=1)
    return meter


def test_messages_in_the_queue_count_as_what_recent_ones_held(meter):
    backlog = meter.backlog(40, {"slow": 5}, {"fast": 20})
    assert backlog.queued_rows == {"slow": pytest.approx(300, abs=10), "fast": pytest.approx(100, abs=10)}
    assert meter.seconds(backlog) == pytest.approx(30.5 + 1.2, abs=1.5)


def test_a_depth_that_is_unknown_counts_as_none(meter):
    backlog = meter.backlog(None, {"slow": 5}, {})
    assert (backlog.queued_messages, backlog.queued_rows) == (None, {})
    assert meter.seconds(backlog) == pytest.approx(0.5)


def test_nothing_learned_nothing_waiting():
    meter = Meter(Goal(1.0, 10.0))
    backlog = meter.backlog(None, {}, {})
    assert meter.seconds(backlog) == 0.0
    assert meter.inputs(backlog)["seconds_per_row"] == {}


def test_the_inputs_of_a_decision(meter):
    inputs = meter.inputs(meter.backlog(0, {"slow": 5, "new": 7}, {"fast": 1}))
    assert inputs == {
        "queued_messages": 0,
        "rows_per_message": pytest.approx(10.0),
        "queued_rows": 0,
        "buffered_rows": 12,
        "running_rows": 1,
        "seconds_per_row": {"new": None, "slow": 0.1, "fast": 0.01},
    }


def test_the_first_batch_of_each_process_is_not_believed(meter):
    before = meter.seconds(meter.backlog(0, {"slow": 100}, {}))
    meter.costs.ended("slow", 10, 60.0, pid=2)
    assert meter.seconds(meter.backlog(0, {"slow": 100}, {})) == before
    meter.costs.ended("slow", 10, 60.0, pid=2)
    assert meter.seconds(meter.backlog(0, {"slow": 100}, {})) > before
