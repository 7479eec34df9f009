"""What Flower keeps under the home, and what it refuses to start with."""

import os
import socket
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from http.client import HTTPException

from asking import Browser, start_flower
from harness import wait_for


def test_the_history_survives_a_restart_and_is_private(busy, browser):
    assert busy.stop(busy.flower) == 0
    folder = busy.settings.home / "flower"
    assert mode(folder) == 0o700
    assert {mode(file) for file in folder.iterdir()} == {0o600}
    busy.flower = start_flower(busy)
    wait_for(lambda: busy.batch_id in browser.get("/api/tasks").text, timeout=30, what="the history")


def test_a_password_is_made_once_printed_once_and_kept(quiet):
    first = start_flower(quiet)
    credentials = (quiet.settings.home / "flower" / "auth").read_text().strip()
    password = credentials.partition(":")[2]
    assert mode(quiet.settings.home / "flower" / "auth") == 0o600
    assert len(password) >= 20
    assert first.log.read_text().count(password) == 1
    assert Browser(quiet.settings.flower_port, credentials).get("/metrics").status == 200
    quiet.stop(first)
    second = start_flower(quiet)
    assert Browser(quiet.settings.flower_port, credentials).get("/metrics").status == 200
    assert password not in second.log.read_text()


def test_a_folder_that_others_can_write_is_refused(quiet):
    folder = quiet.settings.make_home() / "flower"
    folder.mkdir(mode=0o755)
    ended = run(quiet)
    assert ended.returncode == 2
    assert_one_line(ended, str(folder))


def test_a_port_in_use_is_named(quiet):
    with socket.create_server(("127.0.0.1", quiet.settings.flower_port)):
        ended = run(quiet)
    assert ended.returncode == 2
    assert_one_line(ended, f"INFERQ_FLOWER_PORT={quiet.settings.flower_port}")


def test_a_setting_without_a_password_is_refused_and_not_shown(quiet):
    ended = run(quiet, INFERQ_FLOWER_AUTH="just-a-secret")
    assert ended.returncode == 2
    assert_one_line(ended, "INFERQ_FLOWER_AUTH")
    assert "just-a-secret" not in ended.stderr


def run(system, **environment):
    """The command, as far as it comes."""
    return subprocess.run(
        [sys.executable, "-m", "inferq.cli.main", "flower"],
        env={**os.environ, **system.settings.environment(), **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def assert_one_line(ended, words):
    lines = [line for line in ended.stderr.splitlines() if line.startswith("inferq: ")]
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in ended.stderr


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_it_ends_when_told_to_although_the_broker_is_gone(quiet):
    flower = start_flower(quiet)
    credentials = (quiet.settings.home / "flower" / "auth").read_text().strip()

    def ask():
        with suppress(OSError, HTTPException):  # nobody answers any more
            Browser(quiet.settings.flower_port, credentials).get("/api/workers?refresh=1")

    quiet.broker.stop()
    try:
        threading.Thread(target=ask, daemon=True).start()
        assert quiet.stop(flower, timeout=30) == 0
    finally:
        quiet.broker.start()
