"""Makes the modules of the folders that these tests build on importable."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
sys.path.insert(0, str(Path(__file__).parents[1] / "transport"))
sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))
sys.path.insert(0, str(Path(__file__).parents[1] / "webhooks"))
sys.path.insert(0, str(Path(__file__).parents[1] / "system"))

from inferq.local.embedded import server_binary


@pytest.fixture(scope="session")
def redis_binary():
    """A Redis of the machine, else the Valkey that is embedded."""
    return shutil.which("redis-server") or str(server_binary())
