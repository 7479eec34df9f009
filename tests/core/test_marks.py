"""What workers of an earlier version wrote into their heartbeat is still read."""

from inferq_core.store.fleet import _marks


def test_a_mark_that_is_null_stops_no_sweep():
    assert _marks('[["predictions", 5, null, null], ["predictions", 9, 12.5]]') == {("predictions", 9): 12.5}
