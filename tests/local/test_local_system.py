"""`inferq up` and `inferq demo` as users run them: what they say, and what they refuse."""

import base64
import json
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from terminal import INFERQ

from inferq import Settings
from inferq.local import pages
from inferq.local.embedded import EmbeddedBroker
from inferq_core.store import open_store


def test_up_says_where_flower_is_and_who_may_open_it(up, environment):
    running = up()
    port, credentials = (
        environment["INFERQ_FLOWER_PORT"],
        Path(environment["INFERQ_HOME"], "flower", "auth").read_text(),
    )
    assert f"http://127.0.0.1:{port}/inferq" in running.said
    assert f"password {credentials.strip().partition(':')[2]} " in running.said
    assert (
        credentials.strip().partition(":")[2] not in Path(environment["INFERQ_HOME"], "logs", "flower.log").read_text()
    )
    request = urllib.request.Request(f"http://127.0.0.1:{port}/inferq")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=30)
    request.add_header("Authorization", f"Basic {base64.b64encode(credentials.strip().encode()).decode()}")
    assert urllib.request.urlopen(request, timeout=30).status == 200


def test_up_takes_another_port_when_the_usual_one_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        usual = Settings().model_copy(update={"flower_port": taken.getsockname()[1]})
        usual.model_fields_set.discard("flower_port")  # as if it were the default
        assert pages.with_free_port(usual).flower_port != usual.flower_port
        asked_for = Settings(flower_port=taken.getsockname()[1])
        assert pages.with_free_port(asked_for) is asked_for


def test_a_second_one_on_the_same_home_is_refused_and_the_first_goes_on(up, environment):
    running = up()
    second = subprocess.run([*INFERQ, "up"], env=environment, check=False, capture_output=True, text=True, timeout=60)
    assert second.returncode == 3
    assert second.stderr.startswith("inferq: ")
    assert f"pid {running.pid}" in second.stderr
    assert second.stderr.count("\n") == 1
    assert running.process.poll() is None


def test_a_worker_that_cannot_start_shows_the_end_of_its_log(environment):
    broken = {**environment, "INFERQ_BROKER_URL": "redis://127.0.0.1:1/0"}
    ended = subprocess.run([*INFERQ, "up"], env=broken, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 3
    assert "127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_demo_passes_twice_in_one_home_and_its_line_works_while_up_runs(up, environment, tmp_path):
    said = [assert_demo_passes(environment, tmp_path / "demo.json", version) for version in (1, 2)]
    [line] = {line for output in said for line in output.splitlines() if line.startswith("curl ")}
    running = up()
    key_file = running.home / "gateway" / "key"
    assert f"gateway http://127.0.0.1:{running.gateway_port}/v1, key in {key_file}\n" in running.said
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.read_text().strip() not in running.said + "".join(said)
    with closing(open_store(Settings(home=running.home))) as store:
        assert [key.name for key in store.all_keys()] == ["local"], "made once, and used again"
    ended = subprocess.run(
        ["sh", "-ec", f"{line} --silent --show-error --fail"], capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["state"] == "succeeded"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{running.gateway_port}/v1/models", timeout=30)


def test_the_demo_passes_on_postgresql_and_a_broker_of_its_own(environment, tmp_path, postgres_url):
    settings = Settings(home=tmp_path / "broker")
    broker = EmbeddedBroker(settings)
    try:
        environment |= {"INFERQ_BROKER_URL": settings.broker, "INFERQ_STORE_URL": postgres_url}
        output = assert_demo_passes(environment, tmp_path / "demo.json", version=1)
        assert "migrating" in output
        assert not (tmp_path / "home" / "broker").exists()
    finally:
        broker.stop()


def assert_demo_passes(environment, file, version):
    command = [*INFERQ, "demo", "--out", str(file)]
    ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = json.loads(file.read_text())
    assert figures["version"] == version
    assert (figures["accepted"], figures["succeeded"], figures["failed"], figures["missing"]) == (949, 949, 0, 0)
    assert figures["accuracy"] == figures["offline_accuracy"] > 0.9
    assert figures["attempts"] == 949 + figures["extra_attempts"]
    return ended.stdout
