"""Brokers for the tests of this folder: the same bodies run on each."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "system"))

from brokers import RabbitMQ, Redis, no_rabbitmq

from inferq.local.embedded import server_binary

KINDS = {
    "redis": lambda folder: Redis(folder, redis_binary()),
    "valkey": lambda folder: Redis(folder, str(server_binary())),
    # as before Redis 7
    "redis-without-blmpop": lambda folder: Redis(folder, redis_binary(), "--rename-command", "BLMPOP", ""),
    "rabbitmq": lambda _: RabbitMQ(),
}
REDIS_KINDS = [kind for kind in KINDS if kind != "rabbitmq"]


def redis_binary():
    return shutil.which("redis-server") or missing("no redis-server on this machine: install it")


def missing(reason):
    """Skip on a laptop, fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def started(kind, folder):
    if kind == "rabbitmq" and (reason := no_rabbitmq()):
        missing(reason)
    return KINDS[kind](folder)


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
