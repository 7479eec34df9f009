"""What becomes of a delivery after an attempt."""

import pytest

from inferq_core.policy.delivery import JITTER, MAX_RETRY_AFTER, Attempt, Verdict, judge
from inferq_core.settings import Settings

SCHEDULE = Settings().webhook_schedule


def test_the_published_schedule():
    assert SCHEDULE == (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    pauses = [judge(Attempt(500), attempts, SCHEDULE, 0.5).pause for attempts in range(1, 10)]
    assert pauses == list(SCHEDULE)
    assert judge(Attempt(500), 10, SCHEDULE, 0.5).verdict is Verdict.FAILED


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_pauses_are_spread(chance):
    pause = judge(Attempt(500), 2, SCHEDULE, chance).pause
    assert 300 * (1 - JITTER) <= pause <= 300 * (1 + JITTER)
    assert (pause == 300) == (chance == 0.5)


@pytest.mark.parametrize(
    ("attempt", "verdict"),
    [
        (Attempt(200), Verdict.DELIVERED),
        (Attempt(299), Verdict.DELIVERED),
        (Attempt(302), Verdict.RETRY),
        (Attempt(400), Verdict.RETRY),
        (Attempt(410), Verdict.GONE),
        (Attempt(None, "reset"), Verdict.RETRY),
        (Attempt(None, "refused", is_final=True), Verdict.FAILED),
    ],
)
def test_verdicts(attempt, verdict):
    assert judge(attempt, 1, SCHEDULE, 0.5).verdict is verdict


def test_retry_after_makes_it_later_within_bounds_and_never_sooner():
    assert judge(Attempt(503, retry_after=60.0), 1, SCHEDULE, 0.5).pause == 60
    assert judge(Attempt(503, retry_after=1.0), 1, SCHEDULE, 0.5).pause == 5
    assert judge(Attempt(503, retry_after=1e9), 1, SCHEDULE, 0.5).pause == MAX_RETRY_AFTER
