"""`inferq logs`: of one job or model, and on with what comes."""

import json
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from inferq import load_settings
from inferq.cli import logs
from inferq_core.store import open_store
from inferq_core.store.records import LogEntry


@pytest.fixture
def store(home):
    with closing(open_store(load_settings())) as opened:
        yield opened


@pytest.fixture
def following(store):
    """`inferq logs --follow ARGUMENTS` in a process of its own, ended afterwards."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "inferq.cli.main", "logs", "--follow", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(20)
        process.stdout.close()
        process.stderr.close()


def test_following_goes_on_with_what_comes_until_ctrl_c(store, following):
    store.append([LogEntry("info", "before")])
    process = following("--json")
    assert json.loads(process.stdout.readline())["event"] == "before"
    for number in range(3):
        store.append([LogEntry("info", "later", {"n": number})])
        assert json.loads(process.stdout.readline())["fields"] == {"n": number}
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_following_one_model_at_one_level(store, following, models):
    process = following("--model", "cancer", "--level", "error")
    store.append([LogEntry("error", "seen", model="cancer")])
    assert "seen" in process.stdout.readline()
    store.append(
        [
            LogEntry("info", "other", model="cancer"),
            LogEntry("error", "other", model="docstrings"),
            LogEntry("error", "seen_too", model="cancer"),
        ]
    )
    assert "seen_too" in process.stdout.readline()


def test_an_entry_that_becomes_visible_late_is_shown_once(monkeypatch):
    """PostgreSQL gives numbers before transactions end."""
    monkeypatch.setattr(logs.time, "sleep", lambda _: None)
    entries = {n: LogEntry("info", f"e{n}") for n in (11, 12, 14)}

    class Store:
        def read_on(self, *, after):
            return sorted((n, entry) for n, entry in entries.items() if n > after)

    found = logs._follow(Store(), 10)
    assert [next(found)[0] for _ in range(3)] == [11, 12, 14]
    entries[13] = LogEntry("info", "e13")
    assert next(found)[0] == 13
    entries[15] = LogEntry("info", "e15")
    assert next(found)[0] == 15


def test_what_was_there_before_is_not_shown_again(monkeypatch):
    class Store:
        def read_on(self, *, after):
            assert after >= 10
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(logs._follow(Store(), 10))


@pytest.mark.parametrize("follow", [[], ["--follow"]])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--job", "01890a5d-ac96-774b-bcce-b302099a8057"], ["01890a5d-ac96-774b-bcce-b302099a8057"]),
        (["--job", "no-id"], ["'no-id'"]),
        (["--model", "nobody"], ["'nobody'"]),
    ],
)
def test_an_unknown_job_or_model_exits_with_4(run, models, arguments, words, follow):
    ended = run("logs", *arguments, *follow)
    assert (ended.code, ended.out, ended.err.count("\n")) == (4, "", 1)
    assert all(word in ended.err for word in words)


def test_a_job_without_entries_has_none(run, models):
    job_id = run("submit", "docstrings", "--row", '"Fit the model."').out.strip()
    assert (run("logs", "--job", job_id).code, run("logs", "--job", job_id).out) == (0, "")


def test_entries_about_a_job_that_never_existed_are_shown(run, store):
    store.append([LogEntry("error", "unknown_jobs", job_id="made-up")])
    assert "unknown_jobs" in run("logs", "--job", "made-up").out


def test_an_id_in_any_spelling(run, store):
    job_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    store.append([LogEntry("info", "about_it", job_id=job_id)])
    assert "about_it" in run("logs", "--job", job_id.upper()).out
