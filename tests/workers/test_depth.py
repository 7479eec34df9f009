"""Asking for the depth of the queues, aside from the event loop."""

import os
import time

from inferq_core.errors import BrokerUnavailable
from inferq_workers import depth
from inferq_workers.depth import DepthWatch


class Broker:
    """Stands for a Publisher: slow to answer, and away when it is told to be."""

    def __init__(self):
        self.inside = False
        self.away = False
        self.asked = 0

    def depth(self, name):
        self.asked += 1
        self.inside = True
        time.sleep(0.02)
        self.inside = False
        if self.away:
            raise BrokerUnavailable("away")
        return {"a": 3, "b": 4}[name]


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_all_queues_together_and_unknown_while_the_broker_is_away(monkeypatch):
    monkeypatch.setattr(depth, "INTERVAL", 0.001)
    monkeypatch.setattr(depth, "BELIEVE_SECONDS", 0.3)
    broker = Broker()
    watch = DepthWatch(broker, ["a", "b"])
    assert watch.messages() is None
    wait_for(lambda: watch.messages() == 7)
    broker.away = True
    wait_for(lambda: watch.messages() is None)
    broker.away = False
    wait_for(lambda: watch.messages() == 7)


def test_no_process_is_forked_in_the_middle_of_a_question(monkeypatch):
    monkeypatch.setattr(depth, "INTERVAL", 0.0)
    broker = Broker()
    watch = DepthWatch(broker, ["a"])
    watch.messages()
    wait_for(lambda: broker.asked > 2)
    for _ in range(10):
        child = os.fork()
        if child == 0:
            os._exit(int(broker.inside))
        assert os.waitpid(child, 0)[1] == 0
