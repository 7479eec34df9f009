"""`inferq up` keeps its processes running, and leaves none behind however it ends."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios

import psutil
import pytest
from checks import finish, register_model, rows_for
from harness import wait_for
from misbehaving import Slow
from terminal import INFERQ, Up, living, run

from inferq import Client, Settings, State
from inferq.local.embedded import answers
from inferq.local.home import HomeLock
from inferq_core.store import open_store

ROLES = ["worker", "keeper", "deliverer", "flower", "broker"]


class Work:
    """Jobs on the home of an `inferq up`."""

    def __init__(self, home):
        self.settings = Settings(home=home)
        self.store = open_store(self.settings)
        self.client = Client(self.settings, store=self.store)

    def submit(self, seconds, count):
        """Jobs of a model whose batches take so long; the first of them runs on return."""
        name = f"slow-{seconds:g}".replace(".", "-")
        if name not in {model.name for model in self.store.models()}:
            register_model(self, name, Slow(seconds), max_batch_rows=4)
        jobs = self.client.submit_many(name, rows_for(count))
        wait_for(lambda: State.RUNNING in self.states(jobs), timeout=60, what="a batch")
        return jobs

    def states(self, jobs):
        return list(self.store.states([job.id for job in jobs]).values())

    def close(self):
        self.client.close()
        self.store.close()


@pytest.fixture
def work(environment):
    made = Work(environment["INFERQ_HOME"])
    yield made
    made.close()


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_process_comes_back_and_work_goes_on(up, work, role):
    running = up()
    before = work.submit(0.5, 20)
    killed = running.child(role)
    family = [killed, *killed.children(recursive=True)]
    killed.kill()
    ended = running.wait_said(f"{role} pid {killed.pid} was ended by SIGKILL; it starts again in 0.5 s")
    assert str(running.home / "logs" / f"{role}.log") in ended
    assert not living(family), "what it started is gone before it is replaced"
    after = work.submit(0.5, 20)
    finish(work, [*before, *after])
    running.wait_said(f"{role} pid", "is back")
    assert living([running.child(role)])
    assert running.stop(signal.SIGINT) == 0


def test_a_keeper_whose_scheduler_died_is_replaced(up):
    running = up()
    keeper = running.child("keeper")
    (scheduler,) = keeper.children()
    scheduler.kill()
    running.wait_said(f"keeper pid {keeper.pid} ended with code 3; it starts again")
    running.wait_said("keeper pid", "is back")
    assert running.child("keeper").children()


def test_one_that_cannot_start_is_tried_ever_less_often(up):
    running = up()
    flower = running.child("flower")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        flower.kill()
        running.wait_said("flower", "starts again in 0.5 s")
        taken.bind(("127.0.0.1", running.port))
        taken.listen()
        running.wait_said("flower", "ended with code 2", "starts again in 1 s")
        running.wait_said("flower", "ended with code 2", "starts again in 2 s")
    running.wait_said("flower", "is back")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_finishes_what_runs_and_leaves_nothing(up, work, stop):
    running = up()
    (job,) = work.submit(2.0, 1)
    tree = running.tree()
    assert len(tree) == 8, "broker, worker, two pool processes, keeper, its beat, deliverer, Flower"
    assert running.stop(stop) == 0
    assert_nothing_is_left(running, tree)
    assert work.states([job]) == [State.SUCCEEDED]
    assert running.lines[-2].startswith("stopping; ")
    assert running.lines[-1] == "stopped\n"


def test_a_second_ctrl_c_ends_everything_at_once(up, work):
    running = up()
    (job,) = work.submit(600.0, 1)
    tree = running.tree()
    running.process.send_signal(signal.SIGINT)
    running.wait_said("stopping; ")
    assert running.stop(signal.SIGINT) == 0
    assert_nothing_is_left(running, tree)
    assert "was killed; its jobs run again" in running.said
    assert work.states([job]) == [State.RUNNING], "given back when its lease is over"


def test_a_closed_terminal_stops_it_too(environment):
    ours, terminal = os.openpty()
    process = subprocess.Popen(
        [*INFERQ, "up"],
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no other thread runs here
    )
    os.close(terminal)
    said = b""
    while b"ready;" not in said:
        said += os.read(ours, 1024)
    tree = psutil.Process(process.pid).children(recursive=True)
    os.close(ours)
    process.wait(60)
    assert not living(tree)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
def test_nothing_outlives_a_killed_up_and_the_next_one_starts(up, work):
    running = up()
    work.submit(600.0, 1)
    tree = running.tree()
    running.process.kill()
    running.process.wait(20)
    following = up()
    assert not living(tree)
    assert f"http://127.0.0.1:{running.port}/inferq" in following.said
    finish(work, work.submit(0.5, 4))
    following.process.kill()  # a batch of ten minutes runs again


def test_what_fails_at_the_first_start_ends_it_with_the_end_of_its_log(environment):
    with socket.create_server(("127.0.0.1", int(environment["INFERQ_FLOWER_PORT"]))):
        ended = run("up", environment=environment)
    assert ended.returncode == 1
    assert "the flower ended with code 2 while starting" in ended.stderr
    assert f"INFERQ_FLOWER_PORT={environment['INFERQ_FLOWER_PORT']}" in ended.stderr
    assert not answers(Settings(home=environment["INFERQ_HOME"]).broker_socket)
    HomeLock(Settings(home=environment["INFERQ_HOME"]).home_path).release()


def assert_nothing_is_left(running: Up, tree):
    """No process, no port, no lock, no socket."""
    assert not living(tree)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", running.port))
    HomeLock(running.home).release()
    assert not (running.home / "broker.sock").exists()
