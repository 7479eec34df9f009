"""Brokers for the tests of this folder: the same bodies run on each."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "system"))

from brokers import KINDS, REDIS_KINDS, started


@pytest.fixture(scope="module", params=KINDS)
def broker(request, tmp_path_factory):
    broker = started(request.param, tmp_path_factory.mktemp("broker"))
    yield broker
    broker.close()


@pytest.fixture(scope="module", params=REDIS_KINDS)
def redis_broker(request, tmp_path_factory):
    broker = started(request.param, tmp_path_factory.mktemp("broker"))
    yield broker
    broker.close()


@pytest.fixture(scope="module", params=["redis", "valkey"])
def many_broker(request, tmp_path_factory):
    """One that hands out many messages at once."""
    broker = started(request.param, tmp_path_factory.mktemp("broker"))
    yield broker
    broker.close()


@pytest.fixture
def queue_name(request):
    """A queue that no other test uses."""
    return "q" + os.urandom(6).hex()


@pytest.fixture
def taker():
    """Makes consumers and closes them."""
    from brokers import Taker

    takers = []

    def make(*args, **options):
        takers.append(Taker(*args, **options))
        return takers[-1]

    yield make
    for made in takers:
        made.close()
