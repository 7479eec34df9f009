"""`inferq doctor`: how it prints and how it ends."""

import json

import pytest

from inferq import load_settings
from inferq_core.store import open_store
from inferq_core.store.records import WorkerBeat


@pytest.fixture
def healthy(models, monkeypatch):
    """As if a worker and a keeper ran, on a machine however busy."""
    for limit in ("checks.fleet.WORKER_SEEN_WITHIN", "doctor.PATIENCE", "doctor.ARTIFACT_PATIENCE"):
        monkeypatch.setattr(f"inferq_monitoring.{limit}", 600.0)
    store = open_store(load_settings())
    store.beat(WorkerBeat("w", "host-1", 42, ("predictions",), 2, {}, {}), min_interval=0)
    store.elect("keeper", "host-1:43", lease=600)
    store.close()


def test_a_healthy_system(run, healthy):
    ended = run("doctor")
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert ", 0 fail, 0 skipped" in ended.out
    assert "host-1 pid 42 serves predictions with 2 processes" in ended.out
    assert "\x1b" not in ended.out, "colours are for terminals"


def test_as_json(run, healthy):
    ended = run("doctor", "--json")
    assert ended.code == 0
    told = json.loads(ended.out)
    assert told["healthy"] is True
    checks = {finding["check"] for finding in told["findings"]}
    assert checks >= {"settings", "disk", "broker", "store", "migrations", "clock", "messages", "set aside"}
    assert checks >= {"workers", "queues", "keeper", "backlog", "models", "artifacts"}


def test_what_fails_comes_with_advice_and_exits_with_3(run, models):
    ended = run("doctor")
    assert ended.code == 3
    lines = ended.out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["fail", "keeper"]]
    assert lines[at + 1].strip() == "→ start `inferq keeper`"
    assert json.loads(run("doctor", "--json").out)["healthy"] is False


def test_nothing_is_made_to_look_at_it(run, home):
    assert run("doctor").code == 3
    assert not home.exists()


def test_a_wrong_setting_is_a_finding(run, monkeypatch):
    monkeypatch.setenv("INFERQ_LEASE", "never")
    ended = run("doctor", "--json")
    (finding,) = json.loads(ended.out)["findings"]
    assert (ended.code, finding["check"], finding["level"]) == (3, "settings", "fail")
    assert "INFERQ_LEASE" in finding["found"]


def test_a_database_that_is_away(run, monkeypatch):
    monkeypatch.setenv("INFERQ_STORE_URL", "postgresql+psycopg://someone:secret@127.0.0.1:1/inferq")
    ended = run("doctor")
    assert ended.code == 3
    assert "secret" not in ended.out
    assert "cannot be checked without the store" in ended.out
