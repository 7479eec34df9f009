"""When a worker is taken for stuck."""

from inferq_core.policy.stuck import Look, Suspicion, Verdict, judge

PATIENCE = 30.0


def verdicts(*looks):
    suspicion, found = Suspicion(), []
    for at, depth, has_room, received in looks:
        verdict, suspicion = judge(suspicion, Look(at, depth, has_room, received), PATIENCE)
        found.append(verdict)
    return found


WELL, RECONNECT, END = Verdict.WELL, Verdict.RECONNECT, Verdict.END


def test_an_idle_worker_next_to_waiting_messages_connects_anew_and_then_ends():
    looks = [(at, 5, True, 0) for at in (0, 10, 29, 30, 31, 60, 61)]
    assert verdicts(*looks) == [WELL, WELL, WELL, RECONNECT, WELL, WELL, END]


def test_one_message_begins_everything_anew():
    looks = [(0, 5, True, 0), (30, 5, True, 0), (31, 5, True, 0), (61, 5, True, 1), (62, 5, True, 1), (91, 5, True, 1)]
    assert verdicts(*looks) == [WELL, RECONNECT, WELL, WELL, WELL, WELL]
    assert verdicts(*looks, (92, 5, True, 1)) == [*verdicts(*looks), RECONNECT]


def test_an_empty_queue_is_no_reason():
    assert verdicts((0, 5, True, 0), (29, 0, True, 0), (31, 5, True, 0), (59, 5, True, 0)) == [WELL] * 4


def test_neither_is_a_worker_that_has_enough_to_do():
    assert verdicts((0, 5, True, 0), (29, 5, False, 0), (31, 5, True, 0), (59, 5, True, 0)) == [WELL] * 4
