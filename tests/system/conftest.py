"""Whole systems for the tests of this folder."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import running

from inferq.local.embedded import server_binary


@pytest.fixture(scope="session")
def redis_binary():
    """A Redis of the machine, else the Valkey that is embedded."""
    return shutil.which("redis-server") or str(server_binary())


@pytest.fixture
def system(tmp_path, redis_binary):
    """On SQLite."""
    with running(tmp_path, redis_binary, None) as running_system:
        yield running_system


@pytest.fixture
def postgres_system(tmp_path, redis_binary, postgres_url):
    with running(tmp_path, redis_binary, postgres_url) as running_system:
        yield running_system


@pytest.fixture(params=["sqlite", "postgresql"])
def any_system(request):
    """The same body on both stores."""
    return request.getfixturevalue("system" if request.param == "sqlite" else "postgres_system")
