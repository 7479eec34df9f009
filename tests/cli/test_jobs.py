"""`inferq jobs`: lists, one job's life, taking jobs back; `inferq db stats`."""

import json
import time
from contextlib import closing

import pytest

from inferq import load_settings
from inferq.cli.times import duration, parse_since
from inferq_core.errors import InvalidInput
from inferq_core.store import listing, open_store
from inferq_core.store.records import LogEntry

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def submitted(run, models):
    """Ids of `n` queued jobs, the newest first."""

    def submit(n=1):
        ids = [run("submit", "docstrings", "--row", '"Fit the model."').out.strip() for _ in range(n)]
        return sorted(ids, reverse=True)

    return submit


@pytest.fixture
def store(home):
    with closing(open_store(load_settings())) as opened:
        yield opened


def assert_one_line(ended, code, *words):
    assert (ended.code, ended.err.count("\n")) == (code, 1)
    assert ended.err.startswith("inferq: ")
    assert all(word in ended.err for word in words)


class TestList:
    def test_the_newest_first(self, run, submitted, end_job, fail_job):
        ids = submitted(3)
        end_job(ids[0])
        fail_job(ids[1])
        head, *lines = run("jobs", "list").out.splitlines()
        assert head.split() == ["ID", "STATE", "MODEL", "ROWS", "PRIORITY", "AGE", "TOOK"]
        assert [line.split()[0] for line in lines] == ids
        assert [line.split()[1] for line in lines] == ["succeeded", "failed", "queued"]
        assert lines[1].endswith("model_error")

    def test_as_json(self, run, submitted, end_job):
        (job_id,) = submitted()
        end_job(job_id)
        (line,) = run("jobs", "list", "--json").out.splitlines()
        listed = json.loads(line)
        assert (listed["id"], listed["state"], listed["model"], listed["version"], listed["rows"]) == (
            job_id,
            "succeeded",
            "docstrings",
            1,
            1,
        )
        assert listed["completed_at"] >= listed["created_at"]

    def test_filters(self, run, submitted, fail_job):
        ids = submitted(3)
        fail_job(ids[2])

        def listed(*options):
            return [json.loads(line)["id"] for line in run("jobs", "list", "--json", *options).out.splitlines()]

        assert listed("--state", "failed") == [ids[2]]
        assert listed("--state", "queued", "--model", "docstrings", "--since", "1h") == ids[:2]
        assert listed("--limit", 1) == [ids[0]]
        assert listed("--before", ids[0]) == ids[1:]
        assert listed("--model", "cancer") == []
        assert listed("--since", "2100-01-01") == []

    def test_an_empty_list_says_so(self, run, home):
        ended = run("jobs", "list")
        assert (ended.code, ended.out, ended.err) == (0, "", "no jobs\n")

    def test_it_says_where_it_stopped_looking(self, run, submitted, monkeypatch):
        ids = submitted(3)
        monkeypatch.setattr(listing, "FIRST_WINDOW", 1)
        monkeypatch.setattr(listing, "LAST_WINDOW", 1)
        monkeypatch.setattr(listing, "LOOK_AT", 2)
        ended = run("jobs", "list", "--state", "running", "--limit", 1, "--json")
        assert (ended.code, ended.out) == (0, "")
        assert ended.err == f"inferq: stopped looking at job {ids[1]}; --before {ids[1]} goes on\n"

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["--state", "lost"], 2, ["lost", "queued"]),
            (["--since", "yesterday"], 2, ["'yesterday'", "2h"]),
            (["--limit", "0"], 2, ["--limit", "0"]),
            (["--model", "nobody"], 4, ["'nobody'"]),
            (["--before", "no-id"], 4, ["'no-id'"]),
        ],
    )
    def test_what_is_wrong_is_one_line(self, run, models, arguments, code, words):
        assert_one_line(run("jobs", "list", *arguments), code, *words)


class TestShow:
    def test_a_life_as_a_timeline(self, run, submitted, end_job, store):
        (job_id,) = submitted()
        store.append([LogEntry("warning", "something", {"why": "rain"}, job_id=job_id)])
        end_job(job_id)
        run("feedback", job_id, "7")
        shown = json.loads(run("jobs", "show", job_id, "--json").out)
        assert (shown["id"], shown["state"], shown["outputs"], shown["attempts"]) == (job_id, "succeeded", [7], 1)
        events = [moment["event"] for moment in shown["timeline"]]
        assert set(events) == {"accepted", "something", "claimed", "succeeded", "feedback"}
        assert events[0] == "accepted"
        assert (events[-2:], shown["timeline"][-1]["detail"]) == (["succeeded", "feedback"], "7")
        afters = [moment["after"] for moment in shown["timeline"]]
        assert afters == sorted(afters)
        text = run("jobs", "show", job_id.upper()).out
        assert all(event in text for event in events)
        assert "rain" in text
        assert "attempt 1 by test" in text

    def test_a_queued_job(self, run, submitted):
        (job_id,) = submitted()
        shown = json.loads(run("jobs", "show", job_id, "--json").out)
        assert [moment["event"] for moment in shown["timeline"]] == ["accepted", "published"]
        assert "outputs" not in shown

    def test_a_failed_job_says_why(self, run, submitted, fail_job):
        (job_id,) = submitted()
        fail_job(job_id)
        ended = run("jobs", "show", job_id)
        assert ended.code == 0
        assert "model_error: it raised ValueError" in ended.out

    def test_inputs_are_shown_only_when_asked_for(self, run, submitted):
        (job_id,) = submitted()
        assert "Fit the model." not in run("jobs", "show", job_id).out
        assert "Fit the model." not in run("jobs", "show", job_id, "--json").out
        assert "Fit the model." in run("jobs", "show", job_id, "--inputs").out
        assert json.loads(run("jobs", "show", job_id, "--inputs", "--json").out)["inputs"] == ["Fit the model."]

    @pytest.mark.parametrize("job_id", [UNKNOWN, "no-id"])
    def test_an_unknown_job(self, run, home, job_id):
        assert_one_line(run("jobs", "show", job_id), 4, job_id)


class TestCancel:
    def test_several_at_once(self, run, submitted, store):
        ids = submitted(2)
        ended = run("jobs", "cancel", *ids, ids[0])
        assert (ended.code, ended.out) == (0, "".join(f"{job_id}  cancelled, was queued\n" for job_id in ids))
        assert {str(state) for state in store.states(ids).values()} == {"cancelled"}
        again = run("jobs", "cancel", ids[0])
        assert (again.code, again.out) == (0, f"{ids[0]}  cancelled already\n")

    def test_what_has_ended_stays_and_is_reported(self, run, submitted, end_job, store):
        done, waiting = submitted(2)
        end_job(done)
        ended = run("jobs", "cancel", done, waiting, "--json")
        assert ended.code == 1
        assert [json.loads(line) for line in ended.out.splitlines()] == [
            {"id": done, "cancelled": False, "before": "succeeded"},
            {"id": waiting, "cancelled": True, "before": "queued"},
        ]
        assert store.result(done).outputs == [7]

    @pytest.mark.parametrize("stranger", [UNKNOWN, "no-id"])
    def test_an_unknown_id_cancels_nothing(self, run, submitted, store, stranger):
        (job_id,) = submitted()
        assert_one_line(run("jobs", "cancel", job_id, stranger), 4, stranger)
        assert str(store.state(job_id)) == "queued"


class TestStats:
    def test_what_is_in_the_store(self, run, submitted, end_job, store):
        ids = submitted(3)
        end_job(ids[0])
        found = json.loads(run("db", "stats", "--json").out)
        assert (found["store_id"], found["dialect"]) == (store.store_id, "sqlite")
        assert (found["jobs"]["queued"], found["jobs"]["succeeded"]) == (2, 1)
        assert {table["name"]: table["rows"] for table in found["tables"]}["jobs"] == 3
        assert found["backlog"][0]["queued_jobs"] == 2
        text = run("db", "stats").out
        assert all(word in text for word in (store.store_id, "results", "QUEUE", "OLDEST", "kB"))

    def test_the_password_is_not_shown(self, run, monkeypatch, migrated_postgres_url):
        url = migrated_postgres_url.replace("postgres@", "postgres:hunter2@")
        monkeypatch.setenv("INFERQ_STORE_URL", url)
        for options in ([], ["--json"]):
            ended = run("db", "stats", *options)
            assert ended.code == 0
            assert "postgresql" in ended.out
            assert "hunter2" not in ended.out


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("30m", 1e9 - 1800),
        ("1.5h", 1e9 - 5400),
        ("7 d", 1e9 - 604_800),
        ("1970-01-02", 86_400),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:09", 9),
    ],
)
def test_since_when(text, at):
    assert parse_since(text, 1e9) == at


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "soon", "2026-13-01"])
def test_since_when_it_cannot_be_told(text):
    with pytest.raises(InvalidInput, match="--since"):
        parse_since(text, time.time())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (3.21, "3.2 s"),
        (59.99, "1 min 0 s"),
        (250, "4 min 10 s"),
        (18_120, "5 h 2 min"),
        (274_000, "3 d 4 h"),
        (-250, "-4 min 10 s"),
    ],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


class TestPurge:
    def test_what_is_old_and_has_ended(self, run, submitted, end_job, store):
        ended, queued = submitted(2)
        end_job(ended)
        planned = json.loads(run("db", "purge", "--older-than", "0s", "--dry-run", "--json").out)
        assert (planned["rows"]["jobs"], planned["dry_run"]) == (1, True)
        assert store.states([ended, queued]).keys() == {ended, queued}
        assert run("db", "purge", "--older-than", "1h").out.startswith("nothing ended before 2")
        rows = dict(line.split() for line in run("db", "purge", "--older-than", "0s").out.splitlines()[1:])
        assert (rows["jobs"], rows["results"], rows["batches"]) == ("1", "1", "1")
        assert store.states([ended, queued]).keys() == {queued}
        assert run("result", ended).code == 4
        assert run("db", "purge", "--older-than", "0s").code == 0

    def test_as_long_as_the_setting_says(self, run, submitted, end_job, store, monkeypatch):
        monkeypatch.setenv("INFERQ_RETENTION_DAYS", "1e-12")
        (ended,) = submitted(1)
        end_job(ended)
        assert json.loads(run("db", "purge", "--json").out)["rows"]["jobs"] == 1

    def test_an_age_of_all_times(self, run, home):
        assert run("db", "purge", "--older-than", f"{'9' * 40}w").code == 0
