"""When a process that ended starts again: values in, values out."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferq.local.restarts import FIRST_DELAY, MAX_DELAY, STEADY_SECONDS, describe_end, next_delay


def test_each_restart_in_a_row_waits_twice_as_long_up_to_half_a_minute():
    delays = []
    for _ in range(9):
        delays.append(next_delay(delays[-1] if delays else None, ran=0.1))
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_after_it_worked_for_a_while_the_next_restart_is_a_first_one():
    assert next_delay(MAX_DELAY, ran=STEADY_SECONDS) == FIRST_DELAY
    assert next_delay(MAX_DELAY, ran=STEADY_SECONDS - 0.1) == MAX_DELAY


@given(st.none() | st.floats(FIRST_DELAY, MAX_DELAY), st.floats(0, 1e6))
def test_it_never_waits_less_than_the_first_or_more_than_the_longest(previous, ran):
    assert FIRST_DELAY <= next_delay(previous, ran) <= MAX_DELAY


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with code 0"),
        (3, "ended with code 3"),
        (-signal.SIGKILL, "was ended by SIGKILL"),
        (-signal.SIGSEGV, "was ended by SIGSEGV"),
        (-63, "was ended by signal 63"),
    ],
)
def test_an_end_reads_as_a_person_says_it(code, words):
    assert describe_end(code) == words
