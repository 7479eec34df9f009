"""Each change of a worker's processes is written once and read in order."""

import pytest
from sqlalchemy import select

from inferq_core.ids import new_batch_id
from inferq_core.store.records import NewScalingDecision
from inferq_core.store.sql import clock

INPUTS = {"queued_rows": 900, "seconds_per_row": {"digits": 0.002}, "nan": float("nan")}


def decision(worker="worker-1", *, before=1, after=4, age=0.0):
    return NewScalingDecision(str(new_batch_id()), worker, before, after, "backlog", INPUTS, age)


def now(store):
    return store._database.read(lambda connection: connection.scalar(select(clock())))


def test_a_decision_comes_back_as_it_was(store):
    made = decision(age=5.0)
    store.record_scaling([made])
    (read,) = store.scaling_decisions()
    assert (read.id, read.worker, read.from_processes, read.to_processes) == (made.id, "worker-1", 1, 4)
    assert (read.reason, read.inputs) == ("backlog", INPUTS | {"nan": None})
    assert read.at == pytest.approx(now(store) - 5.0, abs=60.0)
    assert read.at <= now(store) - 5.0


def test_the_same_decision_from_several_processes_is_written_once(store):
    first, second = decision(), decision(before=4, after=1)
    store.record_scaling([first])
    store.record_scaling([first, second])
    store.record_scaling([first, second])
    assert [read.id for read in store.scaling_decisions()] == [first.id, second.id]


def test_the_newest_oldest_first_of_one_worker_or_all(store):
    mine = [decision(after=number) for number in range(2, 6)]
    other = decision("worker-2")
    store.record_scaling([*mine, other])
    assert [read.to_processes for read in store.scaling_decisions(worker="worker-1", limit=2)] == [4, 5]
    assert [read.worker for read in store.scaling_decisions(limit=2)] == ["worker-1", "worker-2"]
    assert store.scaling_decisions(worker="worker-3") == []


def test_recording_nothing(store):
    store.record_scaling([])
    assert store.scaling_decisions() == []
