"""Child processes: ready by a condition, ended whole, with their log as evidence."""

import os
import signal
import sys
import time

import psutil
import pytest

from inferq.local.crash import HalfWayCrash
from inferq.local.listing import children_of
from inferq.local.process import ChildProcess, StartFailed

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
PARENT = (
    "import subprocess, sys, time; "
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True); time.sleep(600)"
)


@pytest.fixture
def start(tmp_path):
    started = []

    def run(code, **environment):
        child = ChildProcess(
            "helper", [sys.executable, "-c", code], log=tmp_path / "logs" / "helper.log", environment=environment
        )
        started.append(child)
        return child

    yield run
    for child in started:
        child.stop(grace=0)


def test_it_gets_its_environment_and_writes_its_log(start):
    child = start("import os; print(os.environ['INFERQ_QUEUE'])", INFERQ_QUEUE="heavy")
    until(lambda: child.exit_code == 0)
    assert child.tail() == "heavy"


def test_one_that_ends_while_starting_shows_the_end_of_its_log(start):
    child = start("raise SystemExit('no such port')")
    with pytest.raises(StartFailed, match=r"(?s)the helper ended with code 1.*helper\.log ends with:\nno such port"):
        child.wait_ready(lambda: False, timeout=30)


def test_one_that_is_never_ready_is_reported(start):
    with pytest.raises(StartFailed, match=r"not ready after 0\.1 s.*is empty"):
        start("import time; time.sleep(600)").wait_ready(lambda: False, timeout=0.1)


def test_it_ends_on_sigterm(start):
    child = start("import time; print('up', flush=True); time.sleep(600)")
    child.wait_ready(lambda: child.tail() == "up", timeout=30)
    assert child.stop(grace=30)
    assert child.exit_code == -signal.SIGTERM
    assert not psutil.pid_exists(child.pid)


def test_one_that_ignores_sigterm_is_killed(start):
    child = start(STUBBORN)
    child.wait_ready(lambda: child.tail() == "up", timeout=30)
    assert not child.stop(grace=0.1)
    assert child.exit_code == -signal.SIGKILL


def test_its_own_children_end_with_it(start):
    child = start(PARENT)
    child.wait_ready(lambda: child.tail().isdigit(), timeout=30)
    grandchild = int(child.tail())
    assert [process.pid for process in children_of(child.pid)] == [grandchild]
    child.stop(grace=30)
    until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE)


def test_children_are_found_without_proc_too(start, monkeypatch):
    child = start(PARENT)
    child.wait_ready(lambda: child.tail().isdigit(), timeout=30)
    monkeypatch.setattr("inferq.local.listing.Path", lambda _: type("Missing", (), {"exists": lambda _: False})())
    assert [process.pid for process in children_of(child.pid)] == [int(child.tail())]


def test_the_crash_comes_when_it_is_due_and_hits_a_busy_process(start):
    busy = "import os, time; pid = os.fork()\nwhile pid == 0: pass\nprint(pid, flush=True); time.sleep(600)"
    child = start(busy)
    child.wait_ready(lambda: child.tail().isdigit(), timeout=30)
    due = []
    crash = HalfWayCrash(child.pid, lambda: bool(due))
    assert crash.killed is None
    due.append(True)
    until(lambda: crash.killed is not None)
    assert crash.finish() == int(child.tail())


def test_a_crash_that_never_came_due_kills_nothing(start):
    child = start(PARENT)
    child.wait_ready(lambda: child.tail().isdigit(), timeout=30)
    assert HalfWayCrash(child.pid, lambda: False).finish() is None
    os.kill(int(child.tail()), 0)


def until(condition, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
