"""Gateways on real sockets: one in this process on either store, and one as a process with a real worker."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))
sys.path.insert(0, str(Path(__file__).parent))

from installation import Installation
from live import running_worker
from served import ServedHere, process_of

from inferq import Settings
from inferq.local.embedded import EmbeddedBroker


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("broker"))
    broker = EmbeddedBroker(settings)
    yield settings.broker
    broker.stop()


def made(tmp_path, broker_url, **settings):
    queue = f"gw-{tmp_path.parent.name}-{tmp_path.name}"[-60:].strip("-")
    return Installation.make(Settings(home=tmp_path, broker_url=broker_url, queue=queue, **settings))


@pytest.fixture
def installation(tmp_path, store_url, broker_url):
    """The models `sums` and `people` and no worker, on SQLite and PostgreSQL: tests end jobs themselves."""
    installation = made(tmp_path, broker_url, store_url=store_url)
    yield installation
    installation.close()


@pytest.fixture
def http(installation):
    """A client of a gateway on both stores."""
    with ServedHere(installation) as http:
        yield http


@pytest.fixture
def local(tmp_path, broker_url):
    """An installation on SQLite only, where the store makes no difference."""
    installation = made(tmp_path, broker_url, max_body_bytes=20_000, max_wait=5)
    yield installation
    installation.close()


@pytest.fixture
def local_http(local):
    with ServedHere(local) as http:
        yield http


@pytest.fixture
def on_postgres(tmp_path, broker_url, migrated_postgres_url):
    installation = made(tmp_path, broker_url, store_url=migrated_postgres_url)
    yield installation
    installation.close()


@pytest.fixture(scope="session")
def worked(tmp_path_factory, broker_url):
    """Settings of an installation with the models of the client contract and a worker."""
    folder = tmp_path_factory.mktemp("worked")
    with running_worker(folder, broker_url, f"gw-live-{folder.parent.name}"[:60]) as settings:
        yield settings


@pytest.fixture(scope="session")
def live(worked, tmp_path_factory):
    """A client of `inferq gateway`, a process of its own."""
    with process_of(worked, tmp_path_factory.mktemp("gateway") / "gateway.log") as gateway:
        yield gateway.http
