"""Token buckets as functions of values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferq_core.errors import InvalidInput
from inferq_core.policy.rate import RateLimit, take


@pytest.mark.parametrize(
    ("text", "per_second", "burst", "shown"),
    [("100/s", 100, 100, "100/s"), ("90/m", 1.5, 90, "90/m"), ("1000/h", 1000 / 3600, 1000, "1000/h")],
)
def test_a_rate_is_read_and_shown(text, per_second, burst, shown):
    limit = RateLimit.parse(text)
    assert (limit.per_second, limit.burst, str(limit)) == (pytest.approx(per_second), burst, shown)
    assert RateLimit.parse(text, 7) == RateLimit(limit.per_second, 7)


@pytest.mark.parametrize("text", ["", "100", "0/s", "-1/s", "1.5/s", "1/d", "1/s ", "٣/s", "9999999999/s"])
def test_what_is_no_rate(text):
    with pytest.raises(InvalidInput, match="100/s"):
        RateLimit.parse(text)


@given(
    st.integers(1, 1_000),
    st.floats(0.01, 1_000),
    st.lists(st.floats(0, 100), min_size=1, max_size=200),
)
def test_never_more_than_the_burst_and_what_came_since(burst, per_second, pauses):
    limit = RateLimit(per_second, burst)
    tokens, allowed, passed = float(burst), 0, 0.0
    for pause in pauses:
        level = take(limit, tokens, pause)
        tokens, passed = level.tokens, passed + pause
        allowed += level.allowed
        assert 0 <= tokens <= burst
        assert allowed <= burst + passed * per_second + 1e-6
        if not level.allowed:
            assert take(limit, tokens, level.retry_after(limit) + 1e-6).allowed


def test_what_headers_tell():
    limit = RateLimit.parse("60/m", 10)
    assert limit.window == 10
    level = take(limit, 10, 0)
    assert (level.tokens, level.full_after(limit)) == (9, 1)
    empty = take(limit, 0.25, 0)
    assert (empty.allowed, empty.retry_after(limit), empty.full_after(limit)) == (False, 1, 10)
    assert take(limit, 3, -5).tokens == 2, "a clock that was set back takes nothing away"
