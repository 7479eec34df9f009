"""A system with a worker and Flower, once for all tests that only look at it."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))
sys.path.insert(0, str(Path(__file__).parent))

from asking import INPUT, PASSWORD, USER, Browser, make_system, start_flower
from checks import finish, register_model
from harness import wait_for
from misbehaving import Base

from inferq.local.embedded import server_binary


@pytest.fixture(scope="session")
def redis_binary():
    return shutil.which("redis-server") or str(server_binary())


@pytest.fixture
def quiet(tmp_path, redis_binary):
    """No worker, no model, no job, no password; Flower does not run yet."""
    system = make_system(tmp_path, redis_binary)
    yield system
    system.close()
    if system.broker.process.poll() is None:
        system.broker.stop()


@pytest.fixture(scope="session")
def busy(tmp_path_factory, redis_binary):
    """A worker has finished one job of model `sum`, Flower has seen it, and bulk jobs of `unserved` wait."""
    folder = tmp_path_factory.mktemp("flower")
    system = make_system(folder, redis_binary, flower_auth=f"{USER}:{PASSWORD}")
    try:
        system.browser = Browser(system.settings.flower_port)
        system.start_keeper()
        system.worker = system.start_worker()
        system.flower = start_flower(system)
        register_model(system, "sum", Base())
        system.job = system.client.submit("sum", [[INPUT, 1.0, 2.0, 3.0]])
        system.result = finish(system, [system.job])[system.job.id]
        system.batch_id = system.store.result(system.job.id).batch_id
        wait_for(
            lambda: system.batch_id in system.browser.get("/api/tasks").text, timeout=60, what="the batch's events"
        )
        wait_for(
            lambda: "active_queues" in system.browser.get("/api/workers?refresh=1").text, timeout=60, what="inspection"
        )
        wait_for(lambda: system.store.workers(seen_within=10), timeout=60, what="a heartbeat")
        register_model(system, "unserved", Base(), queue="nobody")
        system.client.submit_many("unserved", [[INPUT, 0.0, 0.0, float(n)] for n in range(3)], priority="bulk")
        yield system
    except BaseException:
        sys.stderr.write(system.logs())
        raise
    finally:
        system.close()
        system.broker.stop()


@pytest.fixture
def browser(busy):
    return busy.browser


@pytest.fixture(scope="session")
def chromium():
    """The browser's command. Without one: skipped with the reason on a laptop, failed in CI."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    reason = "no Chromium on the PATH: install it (apt-get install chromium) to open the pages in a browser"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
