"""Sentinels have a password of their own; Celery's answers and Flower's pages leave it out like the servers'."""

import os
import sys

import pytest
from asking import Browser, start_flower
from brokers import WatchedRedis
from checks import finish, register_model, rows_for
from harness import System, free_port, wait_for
from misbehaving import Base
from telltale import FLOWER_AUTH, PASSWORDS, encoded, leaks

PATIENCE = 60
QUESTIONS = [("report",), *(("inspect", what) for what in ("conf", "stats", "report"))]


@pytest.fixture
def guarded(tmp_path):
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


def test_neither_password_is_told(guarded, tmp_path):
    options = {"flower_auth": FLOWER_AUTH, "flower_port": free_port(), "log_level": "DEBUG"}
    system = System(tmp_path, guarded, None, **options)
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
        assert all("watched" in answers[question].log.read_text() for question in QUESTIONS)
        assert '"userid": "inferq"' in answers["inspect", "stats"].log.read_text()
        assert "watched" in told[paths[-1]]
    except BaseException:
        sys.stderr.write(system.logs())
        raise
    finally:
        system.close()
