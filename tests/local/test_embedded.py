"""The embedded broker: one per home, private, durable, and gone when it is stopped."""

import os
import signal
import stat
import subprocess
import sys
import time

import pytest
import redis

from inferq import Settings, SettingsError
from inferq.local.embedded import EmbeddedBroker, answers, server_binary
from inferq_core.errors import AlreadyRunning


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


def test_it_answers_on_a_private_socket_and_nowhere_else(settings):
    broker = EmbeddedBroker(settings)
    try:
        client = redis.Redis(unix_socket_path=str(settings.broker_socket))
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert stat.S_IMODE(settings.broker_socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(settings.home_path.stat().st_mode) == 0o700
        client.close()
    finally:
        broker.stop()
    assert broker.process.exit_code == 0
    assert not settings.broker_socket.exists()
    assert not answers(settings.broker_socket)


def test_what_it_holds_outlives_a_restart(settings):
    for expected in (b"", b"x"):
        broker = EmbeddedBroker(settings)
        client = redis.Redis(unix_socket_path=str(settings.broker_socket))
        assert (client.get("key") or b"") == expected
        client.set("key", "x")
        client.close()
        broker.stop()


def test_a_second_one_on_the_same_home_is_refused(settings):
    broker = EmbeddedBroker(settings)
    try:
        with pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()}\b"):
            EmbeddedBroker(settings)
        assert answers(settings.broker_socket), "the first goes on"
    finally:
        broker.stop()
    EmbeddedBroker(settings).stop()


def test_a_foreign_server_at_the_socket_is_left_alone(settings):
    settings.make_home()
    foreign = subprocess.Popen(
        [server_binary(), "--port", "0", "--unixsocket", str(settings.broker_socket), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: answers(settings.broker_socket))
        with pytest.raises(AlreadyRunning, match=r"answers at .* already"):
            EmbeddedBroker(settings)
        assert answers(settings.broker_socket)
    finally:
        foreign.terminate()
        foreign.wait(20)


def test_what_a_killed_server_left_behind_is_no_obstacle(settings):
    broker = EmbeddedBroker(settings)
    os.kill(broker.process.pid, signal.SIGKILL)
    until(lambda: broker.process.exit_code is not None)
    assert settings.broker_socket.exists(), "a stale socket"
    broker._lock.release()
    EmbeddedBroker(settings).stop()


def test_a_home_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"INFERQ_HOME=.*cannot be made"):
        EmbeddedBroker(Settings(home=tmp_path / "file" / "home"))


def test_a_home_too_long_for_a_socket_is_one_line(tmp_path):
    with pytest.raises(SettingsError, match="too long"):
        EmbeddedBroker(Settings(home=tmp_path / ("x" * 120)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
def test_it_does_not_outlive_a_killed_parent(settings):
    code = "import sys, time; from inferq import Settings; from inferq.local.embedded import EmbeddedBroker; "
    code += "print(EmbeddedBroker(Settings(home=sys.argv[1])).process.pid, flush=True); time.sleep(600)"
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(settings.home_path)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert int(parent.stdout.readline()) > 0
    parent.kill()
    parent.wait(20)
    until(lambda: not answers(settings.broker_socket))
    EmbeddedBroker(settings).stop()


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def until(condition, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
