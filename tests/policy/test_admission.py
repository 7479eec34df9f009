"""What may come in, and when it would be done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferq_core.policy.admission import Price, Request, Rows, Snapshot, eta, judge
from inferq_core.states import Priority

PRICE = Price(per_batch=1.0, per_row=0.01, batch_rows=100)


def load(*rows, processes=2, prices=None):
    return Snapshot(rows, {"digits": PRICE} if prices is None else prices, {"predictions": processes})


def rows(queued, running=0, *, priority=Priority.NORMAL, model="digits", queue="predictions"):
    return Rows(queue, priority, model, queued, running)


def request(count=1, **options):
    return Request("predictions", Priority.NORMAL, "digits", count, **options)


def test_processes_share_what_is_ahead():
    # given 400 rows, four batches of 2 s; when two processes take them; then 4 s, and the own batch
    assert eta(load(rows(400)), request(100)) == pytest.approx(4.0 + 2.0)


def test_only_what_is_as_urgent_and_in_the_same_queue_is_ahead():
    busy = load(rows(400, priority=Priority.BULK), rows(400, queue="heavy"), rows(100, priority=Priority.INTERACTIVE))
    assert busy.wait("predictions", Priority.NORMAL) == pytest.approx(1.0)
    assert busy.wait("predictions", Priority.BULK) == pytest.approx(5.0)


def test_what_runs_is_half_done():
    assert load(rows(0, 100, priority=Priority.BULK)).wait("predictions", Priority.NORMAL) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "unknown", [load(rows(9, model="new")), load(rows(9), processes=0), load(prices={})], ids=["ahead", "served", "own"]
)
def test_what_nobody_learned_is_not_estimated(unknown):
    assert eta(unknown, request()) is None


def test_the_bound_counts_rows_that_wait_and_run():
    full = load(rows(60, 30))
    assert judge(full, request(10, max_backlog=100)) is None
    refusal = judge(full, request(11, max_backlog=100))
    assert refusal is not None
    assert "90 rows wait or run" in refusal.reason


def test_a_bound_holds_without_an_estimate():
    refusal = judge(load(rows(10), prices={}), request(1, max_backlog=10))
    assert refusal is not None
    assert refusal.retry_after is None


def test_what_never_fits_is_told_so():
    refusal = judge(load(), request(11, max_backlog=10))
    assert refusal is not None
    assert (refusal.retry_after, "never fit" in refusal.reason) == (None, True)


def test_a_deadline_is_held_against_the_wait():
    busy = load(rows(400))
    assert judge(busy, request(deadline=4.1)) is None
    refusal = judge(busy, request(deadline=3.0))
    assert refusal is not None
    assert refusal.retry_after == pytest.approx(1.0)


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 10_000))
def test_waiting_for_a_place_takes_no_longer_than_all_that_is_ahead(queued, wanted, bound):
    full = load(rows(queued))
    refusal = judge(full, request(wanted, max_backlog=bound))
    if refusal is None:
        assert queued + wanted <= bound
    elif refusal.retry_after is not None:
        assert 0 < refusal.retry_after <= full.wait("predictions", Priority.NORMAL)
