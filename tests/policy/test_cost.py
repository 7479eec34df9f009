"""What a batch costs, learned from batches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferq_core.policy.cost import Cost, Mix

rows = st.integers(1, 1000)
seconds = st.floats(0.0, 100.0)
batches = st.lists(st.tuples(rows, seconds), min_size=1, max_size=40)


def learned(*seen):
    cost = Cost()
    for item in seen:
        cost = cost.after(*item)
    return cost


def test_nothing_is_known_before_the_first_batch():
    assert Cost().line() is None
    assert Cost().seconds_for(10, 5) is None


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        ([(10, 1.0)], (0.0, 0.1)),  # one batch: all of it per row
        ([(10, 1.0), (10, 3.0)], (0.0, pytest.approx(0.2, rel=0.1))),
        ([(1, 0.05), (100, 0.05)], (pytest.approx(0.05), pytest.approx(0.0, abs=1e-9))),  # sleeps, whatever the rows
        ([(1, 0.11), (100, 1.1)], (pytest.approx(0.1), pytest.approx(0.01))),
        ([(1, 5.0), (100, 1.0)], (pytest.approx(2.95, rel=0.1), 0.0)),  # large ones cheaper: not a price below zero
        ([(10, 0.0), (20, 1.0)], (0.0, pytest.approx(0.04, rel=0.1))),
    ],
)
def test_table(seen, line):
    assert learned(*seen).line() == line


def test_loading_the_model_counts_only_until_something_better_is_known():
    cold = Cost().after(1, 3.0, cold=True)
    assert cold.seconds_for(1, 1) == 3.0
    warm = cold.after(10, 0.5)
    assert warm == Cost().after(10, 0.5)
    assert warm.after(1, 9.0, cold=True) == warm


@pytest.mark.parametrize(
    ("seen", "seconds", "rows"),
    [
        ([], 1.0, None),
        ([(1, 0.11), (100, 1.1)], 0.6, 50),
        ([(1, 0.11), (100, 1.1)], 0.1, 0),  # the fixed part takes all of it
        ([(1, 0.11), (100, 1.1)], 0.01, 0),
        ([(1, 0.11), (100, 1.1)], 60.0, 200),  # twice the largest, as far as the line is believed
        ([(1, 0.05), (100, 0.05)], 0.06, 200),
        ([(1, 0.05), (100, 0.05)], 0.04, 0),
        ([(10, 1.0)] * 30, 10.0, 20),  # alike, but there is room to learn more
        ([(10, 1.0)] * 30, 0.4, 4),
        ([(10, 1.0)] * 30, 1.5, 5),  # alike, and nearly as large as may be: a smaller one tells
        ([(1, 1.0)] * 30, 1.5, 2),  # none is smaller: a larger one tells
        ([(1, 1.0)] * 30, 0.9, 0),
    ],
)
def test_rows_that_fit_into_some_seconds(seen, seconds, rows):
    assert learned(*seen).rows_within(seconds) == rows


def test_the_rows_that_a_batch_has_in_any_case_are_the_step():
    assert learned(*[(16, 1.0)] * 30).rows_within(1.5, least=16) == 32
    assert learned(*[(32, 1.0)] * 30).rows_within(1.5, least=16) == 16


@given(fixed=st.floats(0.0, 1.0), per_row=st.floats(1e-6, 0.1), start=st.integers(1, 300), target=st.floats(0.05, 5.0))
def test_batches_find_the_size_that_fits_wherever_they_begin(fixed, per_row, start, target):
    fits = int((target - fixed) / per_row)
    sizes, cost, rows = [], learned(*[(start, fixed + per_row * start)] * 30), start
    for _ in range(150):
        rows = max(1, min(256, cost.rows_within(target)))
        sizes.append(rows)
        cost = cost.after(rows, fixed + per_row * rows)
    expected = max(1, min(256, fits))
    usual = sorted(sizes[50:])
    assert usual[len(usual) // 2] == pytest.approx(expected, rel=0.05, abs=1)
    # What is too large is so once in dozens, and where a row alone nearly takes it all.
    too_large = [size for size in sizes[50:] if size > max(1, fits) * 1.05 + 1]
    assert len(too_large) <= 3


def test_what_was_long_ago_is_forgotten():
    cost = learned(*[(10, 9.0)] * 50, *[(10, 1.0)] * 200)
    assert cost.seconds_for(10, 10) == pytest.approx(1.0, rel=0.01)


@given(fixed=st.floats(0.01, 5), per_row=st.floats(0.0001, 1), sizes=st.lists(rows, min_size=2, max_size=30))
def test_a_straight_line_is_found(fixed, per_row, sizes):
    sizes = [1, *sizes, 1000]
    cost = learned(*[(size, fixed + per_row * size) for size in sizes])
    assert cost.line() == (pytest.approx(fixed, rel=1e-3, abs=1e-3), pytest.approx(per_row, rel=1e-3, abs=1e-5))


@given(batches, rows, rows, rows)
def test_more_rows_never_cost_less_and_nothing_is_free_of_sense(seen, few, more, batch_rows):
    cost = learned(*seen)
    assert 0.0 <= cost.seconds_for(few, batch_rows) <= cost.seconds_for(few + more, batch_rows) + 1e-9
    assert cost.seconds_for(0, batch_rows) == 0.0


def test_a_message_has_one_row_until_one_was_seen():
    assert Mix().rows_per_message == 1.0
    assert Mix().shares() == {}


@given(st.lists(st.tuples(st.sampled_from("abc"), rows), min_size=1, max_size=50))
def test_the_mix_lies_within_what_was_seen(seen):
    mix = Mix()
    for model, count in seen:
        mix = mix.after(model, count)
    counts = [count for _, count in seen]
    assert 0.99 * min(counts) <= mix.rows_per_message <= 1.01 * max(counts)
    assert sum(mix.shares().values()) == pytest.approx(1.0)
    assert mix.shares().keys() <= {model for model, _ in seen}
