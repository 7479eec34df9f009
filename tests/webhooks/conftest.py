"""Receivers, a system that delivers to them, and the modules of other folders that these tests build on."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))
sys.path.insert(0, str(Path(__file__).parents[1] / "transport"))
sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
sys.path.insert(0, str(Path(__file__).parents[1] / "client"))
sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))
sys.path.insert(0, str(Path(__file__).parent))

from delivering import Delivering
from receiving import Receiving

from inferq.local.embedded import server_binary


@pytest.fixture(scope="session")
def redis_binary():
    """A Redis of the machine, else the Valkey that is embedded."""
    return shutil.which("redis-server") or str(server_binary())


@pytest.fixture
def receivers():
    """Makes receivers, each on a port of its own."""
    made = []

    def receiver(*answers, **options):
        made.append(Receiving(*answers, **options))
        return made[-1]

    yield receiver
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def delivering(tmp_path_factory, redis_binary):
    """Broker, worker, gateway and deliverer, on SQLite."""
    with Delivering(tmp_path_factory.mktemp("delivering"), redis_binary) as system:
        yield system
