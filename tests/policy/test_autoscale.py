"""How many processes are wanted, and when that is followed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferq_core.policy.autoscale import (
    Bounds,
    Decision,
    Goal,
    History,
    Reason,
    Work,
    decide,
    seconds_of_work,
    wanted_processes,
)
from inferq_core.policy.cost import Cost

GOAL = Goal(target_wait=1.0, stable_window=10.0)
BOUNDS = Bounds(1, 8)


def history(*wanted):
    """From (at, wanted)."""
    grown = History()
    for at, processes in wanted:
        grown = grown.after(at, processes, GOAL.stable_window)
    return grown


@pytest.mark.parametrize(
    ("seconds", "target_wait", "wanted"),
    [
        (0.0, 1.0, 1),  # never below the minimum
        (0.5, 1.0, 1),
        (1.0, 1.0, 1),
        (1.01, 1.0, 2),
        (3 * 0.1, 0.1, 3),  # not 4 because 0.1 has no exact form
        (4.0, 2.0, 2),
        (7.5, 1.0, 8),
        (900.0, 1.0, 8),  # never above the maximum
    ],
)
def test_wanted(seconds, target_wait, wanted):
    assert wanted_processes(seconds, Goal(target_wait, 10.0), BOUNDS) == wanted


def test_work_is_summed_over_models_by_what_each_costs():
    costs = {"slow": Cost().after(10, 5.0), "fast": Cost().after(100, 0.1)}
    work = [Work("slow", 4, 10), Work("fast", 1000, 100)]
    assert seconds_of_work(work, costs.get, GOAL) == pytest.approx(4 * 0.5 + 1000 * 0.001)


def test_a_batch_of_a_model_that_was_never_measured_asks_for_one_process():
    work = [Work("new", 25, 10), Work("newer", 1, 10)]
    assert wanted_processes(seconds_of_work(work, lambda _: Cost(), Goal(5.0, 1.0)), Goal(5.0, 1.0), BOUNDS) == 4
    assert seconds_of_work([Work("new", 0, 10)], lambda _: Cost(), GOAL) == 0.0


@pytest.mark.parametrize(
    ("current", "seen", "now", "decision"),
    [
        (1, [(0, 1)], 0, None),
        (1, [(0, 1), (1, 5)], 1, Decision(1, 5, Reason.BACKLOG)),  # up at once
        (5, [(0, 5), (1, 1)], 1, None),  # down not at once
        (5, [(0, 5), (1, 1)], 10.9, None),
        (5, [(0, 5), (1, 1)], 11, Decision(5, 1, Reason.CALM)),  # but after a whole window
        (5, [(0, 5), (1, 1), (6, 3)], 10, None),
        (5, [(0, 5), (1, 1), (6, 3)], 14, Decision(5, 3, Reason.CALM)),
        (5, [(0, 5), (1, 1), (6, 3), (7, 1)], 12, Decision(5, 3, Reason.CALM)),  # to the highest within it
        (5, [(0, 1)], 9, None),  # a window must be known
        (0, [(0, 1)], 0, Decision(0, 1, Reason.BOUNDS)),
        (9, [(0, 8)], 0, Decision(9, 8, Reason.BOUNDS)),
        (4, [(0, 20)], 0, Decision(4, 8, Reason.BACKLOG)),  # wanted under wider bounds than now
    ],
)
def test_decisions(current, seen, now, decision):
    seen = [*seen, (now, seen[-1][1])]
    assert decide(current, history(*seen), now, GOAL, BOUNDS) == decision


steps = st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(0, 12)), min_size=1, max_size=60)


@given(steps, st.integers(1, 4), st.integers(4, 9))
def test_any_course_of_the_backlog(course, minimum, maximum):
    bounds = Bounds(minimum, maximum)
    seen, grown, now, current = [], History(), 0.0, minimum
    for pause, wanted in course:
        now += pause
        grown = grown.after(now, bounds.clamp(wanted), GOAL.stable_window)
        seen.append((now, bounds.clamp(wanted)))
        decision = decide(current, grown, now, GOAL, bounds)
        if decision is not None:
            assert decision.before == current != decision.after
            current = decision.after
        assert minimum <= current <= maximum
        assert current >= bounds.clamp(wanted), "up at once"
        recent = [processes for at, processes in seen if at > now - GOAL.stable_window]
        assert decision is None or decision.reason is not Reason.CALM or current >= max(recent), "down too early"
    later = now + 2 * GOAL.stable_window
    grown = grown.after(now, minimum, GOAL.stable_window).after(later, minimum, GOAL.stable_window)
    calm = decide(current, grown, later, GOAL, bounds)
    assert (calm.after if calm else current) == minimum, "back to the minimum after a calm window"


@given(steps)
def test_the_history_stays_short(course):
    grown, now = History(), 0.0
    for pause, wanted in course:
        now += pause
        grown = grown.after(now, wanted, GOAL.stable_window)
    inside = [at for at, _ in grown.wanted if at > now - GOAL.stable_window]
    assert len(grown.wanted) <= len(inside) + 1
