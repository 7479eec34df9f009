"""How many messages a worker may take from the broker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferq_core.states import Priority
from inferq_workers.fetching import FIRST_FETCH, ROWS_PER_PROCESS, room


def rooms(rows=0, messages=0, size=1.0, processes=2, credit=512):
    return [room(priority, rows, messages, size, processes, credit) for priority in Priority]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({}, [768, 640, 512]),
        ({"messages": 500}, [268, 140, 12]),
        ({"messages": 512}, [256, 128, 0]),
        ({"messages": 640}, [128, 0, 0]),
        ({"messages": 768}, [0, 0, 0]),
        ({"size": 256.0}, [12, 10, 8]),
        ({"size": 256.0, "rows": 1500}, [6, 4, 2]),
        ({"size": 256.0, "rows": 2047}, [4, 2, 1]),  # too large a message is given back
        ({"size": 256.0, "rows": 2048}, [4, 2, 0]),
        ({"size": 256.0, "rows": 3072}, [0, 0, 0]),
        ({"size": None}, [FIRST_FETCH] * 3),
        ({"processes": 0, "size": 256.0}, [6, 5, 4]),
        ({"credit": 0}, [3072, 2560, 2048]),
        ({"rows": 10 * ROWS_PER_PROCESS}, [0, 0, 0]),
    ],
)
def test_table(held, expected):
    assert rooms(**held) == expected


@given(
    st.integers(0, 10_000),
    st.integers(0, 2_000),
    st.none() | st.floats(1, 10_000),
    st.integers(0, 8),
    st.integers(0, 999),
)
def test_the_more_urgent_has_never_less_room(rows, messages, size, processes, credit):
    found = rooms(rows, messages, size, processes, credit)
    assert found == sorted(found, reverse=True)
    assert found[-1] >= 0
