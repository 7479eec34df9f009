"""Aliases and settings of models, shown and changed."""

import json
from contextlib import closing

import pytest

from inferq import load_settings
from inferq_core.store import open_store
from inferq_models import register
from inferq_models.formats import dump


@pytest.fixture
def versions(models, examples):
    """Three versions of `cancer`; the third is the champion."""
    for _ in range(2):
        register("cancer", examples["cancer"].estimator, examples["cancer"].X_train[:50], settings=load_settings())


def aliases():
    with closing(open_store(load_settings())) as store:
        return dict(store.aliases("cancer"))


def test_an_alias_is_made_moved_and_removed(run, versions):
    assert run("models", "alias", "cancer", "challenger", 1).out == "cancer: challenger is version 1\n"
    assert run("models", "alias", "cancer", "challenger", 2).out == "cancer: challenger is version 2, was 1\n"
    assert aliases() == {"champion": 3, "challenger": 2}
    assert run("models", "alias", "cancer", "challenger", "--remove").code == 0
    assert aliases() == {"champion": 3}


def test_an_alias_can_follow_another(run, versions):
    run("models", "alias", "cancer", "challenger", 1)
    assert run("models", "alias", "cancer", "champion", "challenger").out == "cancer: champion is version 1, was 3\n"
    assert aliases() == {"champion": 1, "challenger": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["cancer", "challenger"], 2, ["VERSION", "--remove"]),
        (["cancer", "challenger", 1, "--remove"], 2, ["VERSION", "--remove"]),
        (["cancer", "challenger", 9], 4, ["'9'", "1, 2, 3, champion"]),
        (["cancer", "2", 1], 2, ["'2'", "begin with a letter"]),
        (["cancer", "champion", "--remove"], 2, ["champion", "another version"]),
        (["cancer", "challenger", "--remove"], 4, ["'challenger'", "champion"]),
        (["nobody", "champion", 1], 4, ["'nobody'", "cancer"]),
    ],
)
def test_a_wrong_alias_changes_nothing(run, versions, arguments, code, words):
    ended = run("models", "alias", *arguments)
    assert (ended.code, ended.err.count("\n")) == (code, 1)
    assert all(word in ended.err for word in words)
    assert aliases() == {"champion": 3}


def test_a_rollout_begins_grows_and_ends(run, versions):
    assert "champion answers alone" in run("models", "rollout", "cancer").out
    assert run("models", "rollout", "cancer", 2, "--weight", 50).out == (
        "primary  version 3  95.0%\ncanary   version 2  5.0%\n"
    )
    assert "rollout cancer --end" in run("models", "alias", "cancer", "champion", 1).err
    assert "canary   version 2  20.0%" in run("models", "rollout", "cancer", "--weight", 200).out
    shown = json.loads(run("models", "rollout", "cancer", "--json").out)
    assert [(each["role"], each["version"], each["weight"]) for each in shown["variants"]] == [
        ("primary", 3, 800),
        ("canary", 2, 200),
    ]
    assert [len(event["after"]) for event in shown["history"]] == [2, 2]
    assert "@" in shown["history"][0]["by"]
    assert run("models", "rollout", "cancer", "--end", "--weight", 5).code == 2
    assert "champion answers alone" in run("models", "rollout", "cancer", "--end").out
    assert run("models", "rollout", "cancer", "--end").code == 4
    assert run("models", "alias", "cancer", "champion", 3).err == ""


def test_settings_are_shown_changed_and_given_back(run, models, monkeypatch):
    monkeypatch.setenv("INFERQ_TIME_LIMIT", "77")
    unset = run("models", "settings", "cancer").out
    assert "77.0 (default)" in unset
    assert "none (default)" in unset
    changes = ["--queue", "heavy", "--max-batch-rows", 64, "--time-limit", 2.5, "--latency-target", 0.1]
    assert run("models", "settings", "cancer", *changes).code == 0
    shown = json.loads(run("models", "settings", "cancer", "--json").out)
    assert shown == {
        "name": "cancer",
        "queue": "heavy",
        "max_batch_rows": 64,
        "time_limit": 2.5,
        "latency_target": 0.1,
        "max_backlog": None,
    }
    given_back = [word for name in ("queue", "time_limit", "latency_target") for word in ("--default", name)]
    back = run("models", "settings", "cancer", *given_back, "--json").out
    assert json.loads(back) == {
        "name": "cancer",
        "queue": None,
        "max_batch_rows": 64,
        "time_limit": None,
        "latency_target": None,
        "max_backlog": None,
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["cancer", "--queue", "two words"], 2, ["two words", "letters"]),
        (["cancer", "--max-batch-rows", 0], 2, ["max_batch_rows=0", "at least 1"]),
        (["cancer", "--max-batch-rows", "many"], 2, ["'many'", "integer"]),
        (["cancer", "--time-limit", "nan"], 2, ["nan", "86400"]),
        (["cancer", "--latency-target", 0], 2, ["latency_target=0", "more than 0"]),
        (["cancer", "--default", "colour"], 2, ["'colour'", "max_batch_rows"]),
        (["cancer", "--queue", "heavy", "--default", "queue"], 2, ["heavy", "--default"]),
        (["nobody", "--queue", "heavy"], 4, ["'nobody'", "cancer"]),
    ],
)
def test_a_wrong_setting_changes_nothing(run, models, arguments, code, words):
    ended = run("models", "settings", *arguments)
    assert (ended.code, ended.err.count("\n")) == (code, 1)
    assert all(word in ended.err for word in words)
    shown = json.loads(run("models", "settings", "cancer", "--json").out)
    assert shown == {
        "name": "cancer",
        "queue": None,
        "max_batch_rows": None,
        "time_limit": None,
        "latency_target": None,
        "max_backlog": None,
    }
    assert "nobody" not in run("models", "list").out


def test_what_serves_a_version_is_asked_for_and_shown(run, home, examples, tmp_path):
    example = examples["cancer"]
    file, sample = tmp_path / "cancer.skops", tmp_path / "sample.csv"
    file.write_bytes(dump(example.estimator))
    example.X_train[:50].to_csv(sample, index=False)
    for runtime, reason in (("sklearn", "asked for"), ("onnx", "asked for; equal on 50 rows of the sample and ")):
        ended = run("models", "register", "cancer", file, "--sample", sample, "--runtime", runtime)
        assert (ended.code, ended.err) == (0, "")
        assert f"served by {runtime}: {reason}" in ended.out.splitlines()[1]
    shown = run("models", "show", "cancer").out
    assert "  runtime        sklearn: asked for\n" in shown
    assert "  runtime        onnx: asked for; equal on 50 rows" in shown
    plain, converted = json.loads(run("models", "show", "cancer", "--json").out)["versions"]
    assert (plain["runtime"], plain["onnx_digest"], converted["runtime"]) == ("sklearn", None, "onnx")
    assert f"  converted      onnx sha256:{converted['onnx_digest']}\n" in shown


def test_a_runtime_that_cannot_serve_is_one_line(run, home, examples, tmp_path):
    file, sample = tmp_path / "docstrings.skops", tmp_path / "sample.csv"
    file.write_bytes(dump(examples["docstrings"].estimator))
    sample.write_text("text\nsome words of a text\nand some more words\n")
    ended = run("models", "register", "docstrings", file, "--sample", sample, "--runtime", "onnx")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "cannot be served by ONNX" in ended.err
    assert "it takes texts" in ended.err
    assert run("models", "list").out.startswith("no models yet")
