"""Whose turn it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferq_workers.turns import MAX_REMEMBERED, Turns


def test_who_was_served_less_is_due_first():
    turns = Turns()
    turns.charge("a", 3.0)
    turns.charge("b", 1.0)
    assert turns.due("b") < turns.due("a")


def test_an_error_of_the_charge_is_put_right():
    turns = Turns()
    turns.charge("a", 1.0)
    turns.correct("a", 9.0)
    assert turns.due("a") == 10.0
    turns.correct("a", -8.0)
    assert turns.due("a") == 2.0


def test_who_was_away_is_due_now_and_not_earlier():
    turns = Turns()
    for _ in range(10):
        turns.charge("a", 1.0)
    assert turns.due("b") == turns.due("c") == 9.0


@given(
    costs=st.lists(st.floats(0.001, 10.0), min_size=2, max_size=5),
    errors=st.lists(st.floats(0.5, 1.5), min_size=50, max_size=50),
)
def test_those_who_always_wait_are_served_alike(costs, errors):
    turns, got = Turns(), [0.0] * len(costs)
    for error in errors:
        one = min(range(len(costs)), key=lambda key: (turns.due(key), key))
        turns.charge(one, costs[one])
        turns.correct(one, costs[one] * error - costs[one])
        got[one] += costs[one] * error
        assert max(got) - min(got) <= 1.5 * max(costs) + 1e-6


def test_the_memory_is_bounded():
    turns = Turns()
    for number in range(10 * MAX_REMEMBERED):
        turns.charge(number, 0.0)
    assert len(turns._due) <= MAX_REMEMBERED + 1
    assert turns.due("anyone") == pytest.approx(0.0)
