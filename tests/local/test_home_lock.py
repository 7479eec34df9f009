"""One holder of a home at a time, leftovers of a killed one included."""

import os
import subprocess
import sys

import pytest

from inferq.local.home import HomeLock
from inferq_core.errors import AlreadyRunning

# Takes the lock, starts a process that inherits it, says both pids, and waits to be killed.
HOLDER = """
import subprocess, sys, time
from pathlib import Path
from inferq.local.home import HomeLock
lock = HomeLock(Path(sys.argv[1]))
left = [sys.executable, "-c", "import sys; sys.stdin.read()"]
print(subprocess.Popen(left, pass_fds=[lock.descriptor]).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def killed_holder(tmp_path):
    """The pipe that keeps its leftover alive."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    holder.stdout.readline()
    holder.kill()
    holder.wait(20)
    yield holder.stdin
    holder.stdin.close()
    holder.stdout.close()


def test_a_second_holder_is_refused_with_the_pid_of_the_first(tmp_path):
    lock = HomeLock(tmp_path)
    with pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()}\)"):
        HomeLock(tmp_path)
    lock.release()
    HomeLock(tmp_path).release()


def test_it_waits_for_what_a_killed_holder_left_behind(tmp_path, killed_holder, monkeypatch):
    looks = []

    def look(_):
        looks.append(True)
        killed_holder.close()  # the leftover ends

    monkeypatch.setattr("inferq.local.home.time.sleep", look)
    HomeLock(tmp_path).release()
    assert looks, "it was locked at first"


def test_it_says_so_when_that_does_not_end(tmp_path, killed_holder, monkeypatch):
    monkeypatch.setattr("inferq.local.home.LEFTOVER_SECONDS", 0.2)
    with pytest.raises(AlreadyRunning, match=r"left processes behind .* `fuser .*home\.lock`"):
        HomeLock(tmp_path)
