"""Clients on both databases, with a broker, and one whose broker is away."""

import sys
from pathlib import Path

import pytest
from installation import Installation

from inferq import Settings
from inferq.local.embedded import EmbeddedBroker

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory):
    """One embedded broker for all tests of this folder; each test has a queue of its own."""
    settings = Settings(home=tmp_path_factory.mktemp("broker"))
    broker = EmbeddedBroker(settings)
    yield settings.broker
    broker.stop()


@pytest.fixture
def installation(tmp_path, store_url, broker_url):
    queue = f"q-{tmp_path.parent.name}-{tmp_path.name}"[-60:].strip("-")
    made = Installation.make(Settings(home=tmp_path, store_url=store_url, broker_url=broker_url, queue=queue))
    yield made
    made.close()


@pytest.fixture
def installation_without_broker(tmp_path):
    made = Installation.make(Settings(home=tmp_path))
    yield made
    made.close()


@pytest.fixture
def client(installation):
    return installation.client
