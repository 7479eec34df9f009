"""Concurrent submits share transactions, and none pays for another's mistake."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from installation import ROW

from inferq import IdempotencyConflict, State
from inferq.commit import GroupCommit


class Recorder:
    """A flush that can be held, and remembers its groups."""

    def __init__(self):
        self.groups = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def __call__(self, items):
        self.groups.append(list(items))
        self.entered.release()
        assert self.gate.wait(30)
        if "conflict" in items:
            raise IdempotencyConflict("conflict")
        if "broken" in items:
            raise OSError("broken")
        return [f"answer {item}" for item in items]


@pytest.fixture
def flush():
    return Recorder()


def run_while_held(commit, flush, items):
    """Let `first` lead and hang in its flush, queue `items` behind it, then let go; the futures in order."""
    flush.gate.clear()
    pool = ThreadPoolExecutor(len(items) + 1)
    first = pool.submit(commit.run, "first")
    assert flush.entered.acquire(timeout=30)
    futures = []
    for item in items:
        futures.append(pool.submit(commit.run, item))
        while len(commit._waiting) < len(futures):
            threading.Event().wait(0.001)
    flush.gate.set()
    assert first.result(30) == "answer first"
    return futures


def test_an_idle_system_adds_no_delay(flush):
    commit = GroupCommit(flush, max_items=10)
    assert [commit.run("a"), commit.run("b")] == ["answer a", "answer b"]
    assert flush.groups == [["a"], ["b"]]


def test_what_arrives_during_a_flush_shares_the_next(flush):
    commit = GroupCommit(flush, max_items=10)
    futures = run_while_held(commit, flush, ["a", "b", "c"])
    assert [future.result(30) for future in futures] == ["answer a", "answer b", "answer c"]
    assert flush.groups == [["first"], ["a", "b", "c"]]


def test_a_group_is_bounded_and_the_rest_follows(flush):
    commit = GroupCommit(flush, max_items=2)
    futures = run_while_held(commit, flush, list("abcde"))
    assert [future.result(30) for future in futures] == [f"answer {item}" for item in "abcde"]
    assert flush.groups == [["first"], ["a", "b"], ["c", "d"], ["e"]]


def test_one_caller_may_bring_many_and_each_has_its_own_answer(flush):
    commit = GroupCommit(flush, max_items=2)
    answers = commit.run_each(["a", "conflict", "c", "d", "broken"])
    assert (answers[0], answers[2], answers[3]) == ("answer a", "answer c", "answer d")
    assert [type(answers[1]), type(answers[4])] == [IdempotencyConflict, OSError]
    assert flush.groups == [["a", "conflict"], ["a"], ["conflict"], ["c", "d"], ["broken"]]
    assert commit.run_each([]) == []
    assert commit.run("later") == "answer later"


def test_a_caller_with_many_shares_groups_with_others(flush):
    commit = GroupCommit(flush, max_items=3)
    flush.gate.clear()
    pool = ThreadPoolExecutor(4)
    first = pool.submit(commit.run, "first")
    assert flush.entered.acquire(timeout=30)
    many = pool.submit(commit.run_each, ["a", "b", "c", "d"])
    wait_for(lambda: len(commit._waiting) == 4)
    single = pool.submit(commit.run, "e")
    wait_for(lambda: len(commit._waiting) == 5)
    flush.gate.set()
    assert first.result(30) == "answer first"
    assert many.result(30) == ["answer a", "answer b", "answer c", "answer d"]
    assert single.result(30) == "answer e"
    assert flush.groups == [["first"], ["a", "b", "c"], ["d", "e"]]


def test_an_interrupted_leader_with_many_leaves_the_others_served():
    calls = []
    entered, gate = threading.Event(), threading.Event()

    def flush(items):
        calls.append(list(items))
        if len(calls) == 2:
            raise KeyboardInterrupt
        entered.set()
        assert gate.wait(30)
        return items

    commit = GroupCommit(flush, max_items=2)
    pool = ThreadPoolExecutor(4)
    first = pool.submit(commit.run, "first")
    assert entered.wait(30)
    many = pool.submit(commit.run_each, ["a", "b", "c", "d"])
    wait_for(lambda: len(commit._waiting) == 4)
    single = pool.submit(commit.run, "e")
    wait_for(lambda: len(commit._waiting) == 5)
    gate.set()
    assert first.result(30) == "first"
    assert isinstance(many.exception(30), KeyboardInterrupt)
    assert single.result(30) == "e"
    assert commit.run("later") == "later"


def wait_for(condition):
    pause = threading.Event()
    while not condition():
        pause.wait(0.001)


def test_a_conflict_is_the_fault_of_one(flush):
    commit = GroupCommit(flush, max_items=10)
    futures = run_while_held(commit, flush, ["a", "conflict", "c"])
    assert (futures[0].result(30), futures[2].result(30)) == ("answer a", "answer c")
    with pytest.raises(IdempotencyConflict):
        futures[1].result(30)
    assert commit.run("later") == "answer later"


def test_another_error_is_everyones_and_the_next_group_goes_on(flush):
    commit = GroupCommit(flush, max_items=2)
    futures = run_while_held(commit, flush, ["a", "broken", "c"])
    for future in futures[:2]:
        with pytest.raises(OSError, match="broken"):
            future.result(30)
    assert futures[2].result(30) == "answer c"


def test_an_interrupted_leader_leaves_the_others_served():
    calls = []

    def flush(items):
        calls.append(list(items))
        if len(calls) == 2:
            raise KeyboardInterrupt
        entered.set()
        assert gate.wait(30)
        return items

    entered, gate = threading.Event(), threading.Event()
    commit = GroupCommit(flush, max_items=10)
    pool = ThreadPoolExecutor(4)
    futures = [pool.submit(commit.run, "first")]
    assert entered.wait(30)
    for item in "abc":
        futures.append(pool.submit(commit.run, item))
        while len(commit._waiting) < len(futures) - 1:
            threading.Event().wait(0.001)
    gate.set()
    outcomes = [future.exception(30) or future.result() for future in futures]
    assert outcomes[0] == "first"
    assert isinstance(outcomes[1], KeyboardInterrupt)
    assert outcomes[2:] == ["b", "c"]


def test_sixteen_threads_each_get_their_own_job(installation):
    client = installation.client
    known = client.submit("sums", ROW, idempotency_key="shared")

    def submit(number):
        row = [float(number)] * 4
        if number % 50 == 7:
            with pytest.raises(IdempotencyConflict):
                client.submit("sums", row, idempotency_key="shared")
            return known
        return client.submit("sums", row, idempotency_key=f"key {number}")

    with ThreadPoolExecutor(16) as pool:
        jobs = list(pool.map(submit, range(400)))
    assert len(set(jobs) - {known}) == 392
    assert installation.store.counts() == {("sums", State.QUEUED): 393}
    again = client.submit("sums", [3.0] * 4, idempotency_key="key 3")
    assert again == jobs[3]


def test_two_groups_are_under_way_at_a_time(flush):
    commit = GroupCommit(flush, max_items=10, max_leaders=2)
    flush.gate.clear()
    pool = ThreadPoolExecutor(6)
    leaders = [pool.submit(commit.run, item) for item in ("a", "b")]
    for _ in leaders:
        assert flush.entered.acquire(timeout=30)  # both are inside of the flush
    others = [pool.submit(commit.run, item) for item in ("c", "d")]
    while len(commit._waiting) < len(others):
        threading.Event().wait(0.001)
    flush.gate.set()
    answers = {future.result(30) for future in leaders + others}
    assert answers == {"answer a", "answer b", "answer c", "answer d"}
    assert sorted(map(sorted, flush.groups[2:])) in ([["c", "d"]], [["c"], ["d"]])
    assert commit._leaders == 0
    assert commit.run("e") == "answer e"


def test_no_lead_is_lost_when_many_threads_submit(flush):
    commit = GroupCommit(flush, max_items=3, max_leaders=2)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(commit.run, [str(number) for number in range(2000)]))
    assert answers == [f"answer {number}" for number in range(2000)]
    assert (commit._leaders, len(commit._waiting)) == (0, 0)
    assert max(map(len, flush.groups)) <= 3
