"""What the overview makes of store and broker."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from given import LOG, accepted, beat, claimed, succeeded

from inferq_core.errors import BrokerUnavailable
from inferq_core.states import Priority
from inferq_monitoring.overview import read_overview, size_classes


def silent(queue):
    raise BrokerUnavailable("the broker does not answer")


@pytest.mark.parametrize(
    ("rows", "label"),
    [
        (1, "1"),
        (2, "2 to 4"),
        (4, "2 to 4"),
        (5, "5 to 16"),
        (512, "65 to 512"),
        (513, "over 512"),
        (10_000, "over 512"),
    ],
)
def test_each_size_has_its_class(rows, label):
    assert [size.label for size in size_classes([rows]) if size.batches] == [label]


def test_shares_add_up():
    sizes = size_classes([1, 1, 3, 100])
    assert [size.batches for size in sizes] == [2, 1, 0, 0, 1, 0]
    assert sum(size.share for size in sizes) == 1


def test_without_anything(store):
    overview = read_overview(store, lambda queue: 0, ["predictions"])
    assert (overview.queued_jobs, overview.running_jobs, overview.processes, overview.busy) == (0, 0, 0, 0)
    assert (overview.mean_rows, overview.sizes, overview.problems) == (None, [], [])
    assert [(depth.queue, depth.messages) for depth in overview.depths] == [("predictions", 0)]


def test_everything_together(store):
    accepted(store, 3, queue="gpu", priority=Priority.BULK)
    batch_id, ids = claimed(store, 2, n_rows=4)
    store.complete(batch_id, [succeeded(id_) for id_ in ids], LOG)
    claimed(store, 1)
    store.beat(beat(buffered={"predictions": 7}), min_interval=0)
    overview = read_overview(store, {"gpu": 2, "predictions": 5}.__getitem__, ["predictions"])
    assert (overview.queued_jobs, overview.running_jobs) == (3, 1)
    assert [(depth.queue, depth.messages, depth.buffered_rows, depth.workers) for depth in overview.depths] == [
        ("gpu", 2, 0, 0),
        ("predictions", 5, 7, 1),
    ]
    (worker,) = overview.workers
    assert (worker.processes, worker.busy, worker.share) == (2, 1, 0.5)
    assert len(overview.batches) == 2
    assert overview.sized_batches == 1, "the running one has no size to count yet"


def test_without_the_broker_the_rest_is_there(store):
    accepted(store, 2)
    overview = read_overview(store, silent, ["predictions", "gpu"])
    assert overview.problems == ["the broker does not answer"]
    assert overview.queued_jobs == 2
    assert [(depth.queue, depth.messages) for depth in overview.depths] == [("gpu", None), ("predictions", None)]
