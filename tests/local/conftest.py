"""A home of one's own for `inferq up`."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))
sys.path.insert(0, str(Path(__file__).parent))

from harness import free_port
from terminal import Up

SYSTEM = Path(__file__).parents[1] / "system"


@pytest.fixture
def environment(tmp_path):
    """Without the settings of whoever runs the tests; two pool processes, and what is lost is found soon."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INFERQ_")}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join([str(SYSTEM), *sys.path]),
        "INFERQ_TEST_WORKER": "1",  # the slow models are slow
        "INFERQ_HOME": str(tmp_path / "home"),
        "INFERQ_CONCURRENCY": "2",
        "INFERQ_LEASE": "3",
        "INFERQ_SWEEP_INTERVAL": "1",
        "INFERQ_ORPHAN_AFTER": "3",
        "INFERQ_FLOWER_PORT": str(free_port()),
        "INFERQ_GATEWAY_PORT": str(free_port()),
    }


@pytest.fixture
def up(environment):
    """Start `inferq up`, wait until it says that it is ready."""
    started = []

    def start():
        running = Up(environment)
        started.append(running)
        running.wait_said("ready;")
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.terminate()
        running.wait()
