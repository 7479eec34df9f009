"""A container is healthy when its role does its work, and says why when it does not."""

import socket

import pytest

from inferq_core.errors import InferqError
from inferq_core.settings import load_settings
from inferq_core.store.records import WorkerBeat
from inferq_workers import health


@pytest.fixture
def broker(monkeypatch):
    """A broker that answers."""
    monkeypatch.setattr(health, "_ask_broker", lambda settings: None)


def beat_of(host):
    return WorkerBeat(f"{host}:1", host, 1, ("predictions",), 2, {}, {})


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (b"/opt/inferq/bin/python\0-m\0inferq_workers\0worker\0", "worker"),
        (b"/sbin/docker-init\0--\0inferq\0keeper\0", "keeper"),
        (b"/opt/inferq/bin/python\0/opt/inferq/bin/inferq\0flower\0", "flower"),
        (b"/opt/inferq/bin/python\0/opt/inferq/bin/inferq\0gateway\0", "gateway"),
        (b"/opt/inferq/bin/python\0/opt/inferq/bin/inferq\0submit\0digits\0", None),
    ],
)
def test_the_role_is_what_the_first_process_runs(command, role):
    assert health.role_of(command) == role


def test_a_worker_is_healthy_by_its_own_heartbeat_only(store, store_url, broker):
    settings = load_settings(store_url=store_url)
    store.beat(beat_of("another"), min_interval=0.0)
    with pytest.raises(InferqError, match="no heartbeat"):
        health.worker(settings)
    store.beat(beat_of(socket.gethostname()), min_interval=0.0)
    health.worker(settings)


def test_a_keeper_is_healthy_while_one_is_elected(store, store_url, broker):
    settings = load_settings(store_url=store_url)
    with pytest.raises(InferqError, match="no keeper"):
        health.keeper(settings)
    assert store.elect("keeper", "somebody", lease=60)
    assert store.elected("keeper") == "somebody"
    health.keeper(settings)


def test_a_lease_that_ran_out_elects_nobody(store):
    store.elect("keeper", "somebody", lease=-1)
    assert store.elected("keeper") is None


def test_nobody_is_healthy_without_a_broker(store, store_url, tmp_path):
    settings = load_settings(store_url=store_url, broker_url=f"redis+socket://{tmp_path}/nothing.sock")
    store.beat(beat_of(socket.gethostname()), min_interval=0.0)
    with pytest.raises(InferqError, match="broker"):
        health.worker(settings)


def test_flower_that_asks_for_a_password_is_healthy_and_a_closed_port_is_not():
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = load_settings(flower_port=server.getsockname()[1])
        answer_once(server, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        health.flower(settings)
    with pytest.raises(InferqError, match="does not answer"):
        health.flower(settings)


def answer_once(server, answer):
    from threading import Thread

    def serve():
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer)

    Thread(target=serve, daemon=True).start()
