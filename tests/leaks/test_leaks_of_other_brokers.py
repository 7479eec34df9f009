"""The same through Sentinel, whose sentinels have a password of their own, and on RabbitMQ: in Celery and in Flower."""

import os
import sys
from uuid import uuid4

import pytest
from asking import Browser, start_flower
from brokers import WatchedRedis, rabbitmqctl, started
from checks import finish, register_model, rows_for
from harness import System, free_port, wait_for
from misbehaving import Base
from telltale import FLOWER_AUTH, PASSWORDS, encoded, leaks

PATIENCE = 60
QUESTIONS = [("report",), *(("inspect", what) for what in ("conf", "stats", "report"))]


@pytest.fixture
def sentinel(tmp_path):
    """Servers and sentinel with a password each."""
    broker = WatchedRedis(tmp_path / "broker")
    rights = ("~*", "&*", "+@all")
    for server, user, name in (
        (broker.client, "inferq", "broker"),
        (broker.replica.client, "inferq", "broker"),
        (broker.sentinel, "watcher", "sentinel"),
    ):
        server.execute_command("ACL", "SETUSER", user, "on", f">{PASSWORDS[name]}", *rights)
    broker.url = broker.url.replace("://", f"://inferq:{encoded('broker')}@")
    broker.url += f"&sentinel_username=watcher&sentinel_password={encoded('sentinel')}"
    yield broker
    broker.close()


@pytest.fixture
def rabbitmq(tmp_path):
    """A user with a password."""
    broker = started("rabbitmq", tmp_path)
    user = f"inferq-{uuid4().hex[:12]}"
    rabbitmqctl("add_user", user, PASSWORDS["broker"])
    rabbitmqctl("set_permissions", "-p", broker._vhost, user, ".*", ".*", ".*")
    broker.url = broker.url.replace("guest:guest", f"{user}:{encoded('broker')}")
    yield broker
    rabbitmqctl("delete_user", user)
    broker.close()


@pytest.mark.parametrize("kind", ["sentinel", "rabbitmq"])
def test_no_password_is_told(kind, request, tmp_path):
    broker = request.getfixturevalue(kind)
    options = {"flower_auth": FLOWER_AUTH, "flower_port": free_port(), "log_level": "DEBUG"}
    system = System(tmp_path, broker, None, **options)
    try:
        worker, _, _ = system.start_worker(), system.start_keeper(), start_flower(system)
        register_model(system, "sum", Base())
        finish(system, system.client.submit_many("sum", rows_for(3)))
        answers = {question: system.start_celery(*question) for question in QUESTIONS}
        for process in answers.values():
            assert process.wait(PATIENCE) == 0, process.log.read_text()
        browser = Browser(system.settings.flower_port, FLOWER_AUTH)
        node = f"worker-{worker.pid}@{os.uname().nodename}"
        paths = [f"/worker/{node}", "/broker", "/workers", "/inferq", f"/api/workers?refresh=1&workername={node}"]
        wait_for(lambda: browser.get(paths[0]).status == 200, timeout=PATIENCE, what="the worker's page")
        told = {path: browser.get(path).text for path in paths}
        told |= {process.log.name: process.log.read_text() for process in system._processes}
        assert leaks(told) == []
        # They were near it.
        user = broker.url.partition("://")[2].partition(":")[0]
        assert all(
            f"{user}:********@" in answers[question].log.read_text()
            for question in QUESTIONS
            if question[-1] != "stats"
        )
        assert f'"userid": "{user}"' in answers["inspect", "stats"].log.read_text()
        assert user in told[paths[-1]]
    except BaseException:
        sys.stderr.write(system.logs())
        raise
    finally:
        system.close()
