"""Each command: its answers and its exit codes. What is wrong with its words is in test_walk."""

import json

import pytest
import skops.io

from inferq import Client
from inferq_core.errors import StoreUnavailable


def row_of(example):
    return json.dumps(example.X_test.iloc[0].to_dict())


def test_the_program_lists_its_exit_codes(run):
    ended = run("--help")
    assert "Exit codes: 0 done" in ended.out
    assert run("--version").out.startswith("inferq ")


def assert_one_line(ended, code, *words):
    assert ended.code == code
    assert ended.err.startswith("inferq: ")
    assert ended.err.count("\n") == 1
    assert all(word in ended.err for word in words)


@pytest.mark.parametrize("job_id", ["01890a5d-ac96-774b-bcce-b302099a8057", "not-an-id"])
def test_an_id_never_issued_exits_with_4(run, job_id):
    assert_one_line(run("result", job_id), 4, job_id)
    assert_one_line(run("result", job_id, "--wait", 10), 4, job_id)


def test_a_job_without_a_worker_is_queued(run, models):
    job_id = run("submit", "cancer", "--row", row_of(models["cancer"])).out.strip()
    ended = run("result", job_id)
    assert ended.code == 5
    assert "queued" in ended.out
    state = json.loads(run("result", job_id, "--wait", 0.05, "--json").out)
    assert (state["id"], state["state"], state["model"], state["attempts"]) == (job_id, "queued", "cancer", 0)


def test_a_finished_job_shows_its_outputs(run, models, end_job):
    job_id = run("submit", "cancer", "--row", row_of(models["cancer"])).out.strip()
    end_job(job_id)
    ended = run("result", job_id)
    assert ended.code == 0
    assert "succeeded" in ended.out
    assert "[7]" in ended.out
    assert json.loads(run("result", job_id, "--json").out)["outputs"] == [7]


def test_a_failed_job_exits_with_1_and_says_why(run, models, fail_job):
    job_id = run("submit", "cancer", "--row", row_of(models["cancer"])).out.strip()
    fail_job(job_id)
    ended = run("result", job_id, "--wait", 5)
    assert ended.code == 1
    assert "model_error" in ended.out
    assert "it raised ValueError" in ended.out


def test_several_rows_make_one_job(run, models):
    row = row_of(models["cancer"])
    answer = json.loads(run("submit", "cancer", "--row", row, "--row", row, "--json").out)
    assert answer["eta"] is None  # nothing is learned yet
    state = json.loads(run("result", answer["id"], "--json").out)
    assert state["rows"] == 2


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_id_comes_out_even_when_the_store_goes_before_the_estimate(run, models, monkeypatch, options):
    def gone(*_):
        raise StoreUnavailable("the store went away")

    monkeypatch.setattr(Client, "eta", gone)
    ended = run("submit", "cancer", "--row", row_of(models["cancer"]), *options)
    assert (ended.code, ended.err) == (0, "")
    job_id = json.loads(ended.out)["id"] if options else ended.out.strip()
    assert json.loads(run("result", job_id, "--json").out)["state"] == "queued"


def test_submitting_with_a_wait_that_ends_too_early(run, models):
    ended = run("submit", "docstrings", "--row", '"Fit the model."', "--wait", 0.05)
    assert ended.code == 5
    assert "queued" in ended.out
    assert "is still queued after 0.05 s" in ended.err.splitlines()[-1]


def test_each_row_of_a_file_becomes_a_job(run, models, tmp_path):
    file = tmp_path / "rows.csv"
    models["cancer"].X_test[:3].to_csv(file, index=False)
    ids = run("submit", "cancer", "--file", file).out.split()
    assert len(set(ids)) == 3
    assert json.loads(run("result", ids[0], "--json").out)["priority"] == "bulk"


def test_postgresql_is_refused_until_it_is_upgraded(run, monkeypatch, postgres_url):
    monkeypatch.setenv("INFERQ_STORE_URL", postgres_url)
    assert_one_line(run("models", "list"), 3, "inferq db upgrade")
    assert run("db", "check").code != 0
    assert run("db", "upgrade").code == 0
    assert run("db", "check").code == 0
    assert run("models", "list").code == 0


def test_models_are_registered_listed_and_shown(run, examples, tmp_path):
    example = examples["cancer"]
    skops.io.dump(example.estimator, tmp_path / "cancer.skops")
    example.X_train[:50].to_csv(tmp_path / "sample.csv", index=False)
    arguments = ["models", "register", "cancer", tmp_path / "cancer.skops", "--sample", tmp_path / "sample.csv"]
    assert "cancer version 1" in run(*arguments, "--queue", "heavy", "--max-batch-rows", 64, "--time-limit", 9).out
    assert "cancer version 2" in run(*arguments, "--no-promote").out
    listed = json.loads(run("models", "list", "--json").out)
    assert [(model["name"], model["versions"], model["aliases"]) for model in listed] == [
        ("cancer", 2, {"champion": 1})
    ]
    shown = json.loads(run("models", "show", "cancer", "--json").out)
    assert (shown["queue"], shown["max_batch_rows"], shown["time_limit"]) == ("heavy", 64, 9.0)
    assert shown["versions"][0]["methods"][0] == "predict"
    for arguments in (["models", "list"], ["models", "show", "cancer"]):
        assert "champion" in run(*arguments).out


def test_an_empty_home_has_no_models(run):
    assert "no models yet" in run("models", "list").out


def test_logs_are_read_by_level(run, home):
    from inferq import load_settings
    from inferq_core.store import open_store
    from inferq_core.store.records import LogEntry

    store = open_store(load_settings())
    store.append([LogEntry("info", "started"), LogEntry("error", "broke", {"why": "rain"}, model="cancer")])
    store.close()
    assert [line.split()[2] for line in run("logs").out.splitlines()] == ["started", "broke"]
    only = run("logs", "--level", "error", "--json").out.splitlines()
    assert [json.loads(line)["fields"] for line in only] == [{"why": "rain"}]


def test_the_scratch_check_needs_no_database(run, home):
    assert run("db", "check", "--scratch").code == 0
    assert not home.exists()
