"""The client for applications' own tests: what a test can arrange with it, and what it keeps away from."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import inferq.testing
from inferq import ErrorCode, InvalidInput, JobFailed, SettingsError, State, UnknownModel, WaitTimeout
from inferq.testing import TestingClient


@pytest.fixture
def client():
    with TestingClient() as made:
        yield made


@pytest.fixture
def manual():
    with TestingClient(execute="manual") as made:
        yield made


def first_column(X):
    return X[:, 0]


def test_inline_a_job_has_ended_when_submit_returns(client):
    client.fake_model("first", first_column, sample=[[1.5, 2.0]])
    assert client.submit("first", [3.5, 4.0]).state() is State.SUCCEEDED
    assert {job.state() for job in client.submit_many("first", [[1.0, 2.0]] * 3)} == {State.SUCCEEDED}


def test_manual_jobs_stay_queued_until_they_are_run(manual):
    manual.fake_model("first", first_column, sample=[[1.5, 2.0]])
    job = manual.submit("first", [3.5, 4.0])
    assert job.state() is State.QUEUED
    with pytest.raises(WaitTimeout):
        job.result(timeout=0)
    assert manual.run_pending() == 1
    assert job.result(timeout=0).outputs == [3.5]
    assert manual.run_pending() == 0


def test_jobs_run_in_batches_the_urgent_ones_first(manual):
    calls = []

    def remember(X):
        calls.append(X[:, 0].tolist())
        return [0] * len(X)

    manual.fake_model("remember", remember, sample=[[1.0]])
    manual.submit_many("remember", [[1.0], [2.0]])
    manual.submit("remember", [3.0])
    manual.submit("remember", [4.0], priority="interactive")
    assert manual.run_pending() == 4
    assert calls == [[4.0], [3.0], [1.0, 2.0]]


def test_a_deadline_can_pass(manual):
    manual.fake_model("first", first_column, sample=[[1.0]])
    job = manual.submit("first", [1.0], deadline=1e-6)
    manual.run_pending()
    with pytest.raises(JobFailed) as caught:
        job.result(timeout=0)
    assert caught.value.code is ErrorCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("sample", "row", "kind", "output"),
    [
        ([[1.0, 2.0]], [3.0, 4.0], np.ndarray, 1),
        (np.array([[1, 2]], dtype=np.float32), [3.0, 4.0], np.ndarray, 1),
        ([{"age": 3, "city": "Lima"}], {"city": "Oslo", "age": 4}, pd.DataFrame, 1),
        (pd.DataFrame({"age": [3]}), {"age": 4}, pd.DataFrame, 1),
        (["a text"], "another", list, 1),
    ],
)
def test_a_fake_gets_rows_in_the_form_of_its_sample(client, sample, row, kind, output):
    got = []

    def answer(X):
        got.append(X)
        return [output] * len(X)

    client.fake_model("fake", answer, sample=sample)
    assert client.submit("fake", row).result().outputs == [output]
    assert [type(X) for X in got] == [kind], "registering does not call it"


def test_rows_that_do_not_look_like_the_sample_are_refused(client):
    client.fake_model("people", lambda X: X["age"], sample=[{"age": 3, "city": None}, {"age": 4, "city": "Lima"}])
    assert client.submit("people", {"age": 5, "city": None}).result().outputs == [5]
    for row in ({"age": None, "city": "Lima"}, {"age": "old", "city": "Lima"}, {"age": 3}):
        with pytest.raises(InvalidInput):
            client.submit("people", row)


def test_what_a_fake_raises_is_its_jobs_failure(client):
    def broken(X):
        if (X < 0).any():
            raise RuntimeError("no such thing")
        return X[:, 0]

    client.fake_model("broken", broken, sample=[[1.0]])
    good, bad = client.submit_many("broken", [[1.0], [-1.0]])
    assert good.result().outputs == [1]
    with pytest.raises(JobFailed, match="no such thing") as caught:
        bad.result()
    assert caught.value.code is ErrorCode.MODEL_ERROR


def test_an_answer_that_cannot_be_one_is_a_failure_too(client):
    client.fake_model("short", lambda X: [], sample=[[1.0]])
    with pytest.raises(JobFailed, match="0 outputs for 1 row"):
        client.submit("short", [1.0]).result()


def test_the_next_version_answers_at_once_and_older_ones_can_be_named(client):
    client.fake_model("fake", lambda X: ["one"] * len(X), sample=[[1.0]])
    assert client.submit("fake", [1.0]).result().outputs == ["one"]
    client.fake_model("fake", lambda X: ["two"] * len(X), sample=[[1.0, 2.0]])
    assert client.submit("fake", [1.0, 2.0]).result().outputs == ["two"]
    assert client.submit("fake", [1.0], version=1).result().outputs == ["one"]


def test_real_models_run_as_well(client):
    X = np.arange(20, dtype=float).reshape(10, 2)
    version = client.register("line", LinearRegression().fit(X, X.sum(axis=1)), X)
    result = client.submit("line", [2.0, 3.0]).result()
    assert result.outputs == pytest.approx([5.0])
    assert result.version == version.number


def test_the_store_keeps_what_was_told(client):
    client.fake_model("first", first_column, sample=[[1.0]])
    job = client.submit("first", [1.0])
    client.feedback(job, 2)
    assert client._store.feedback([job.id])[job.id].actual == 2


def test_it_reaches_nothing_real(monkeypatch):
    monkeypatch.setenv("INFERQ_STORE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("INFERQ_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("INFERQ_ARTIFACTS_URL", "file:///nowhere")
    with TestingClient() as client:
        folder = client.settings.home_path
        X = np.arange(6, dtype=float).reshape(3, 2)
        client.register("line", LinearRegression().fit(X, X[:, 0]), X)
        assert client.submit("line", [1.0, 2.0]).result(timeout=0).state is State.SUCCEEDED
        assert folder.is_dir()
    assert not folder.exists()


def test_two_of_them_know_nothing_of_each_other(client, manual):
    client.fake_model("first", first_column, sample=[[1.0]])
    with pytest.raises(UnknownModel):
        manual.submit("first", [1.0])


def test_settings_may_be_overridden_but_not_the_places():
    with TestingClient(max_rows_per_job=2) as client:
        client.fake_model("first", first_column, sample=[[1.0]])
        with pytest.raises(InvalidInput, match="at most 2"):
            client.submit("first", [[1.0]] * 3)
    with pytest.raises(SettingsError, match="its own home, store_url"):
        TestingClient(store_url="sqlite:///mine.db", home="/mine")
    with pytest.raises(SettingsError, match="execute='eager'"):
        TestingClient(execute="eager")


def test_the_example_of_its_documentation_passes(tmp_path):
    code = inferq.testing.__doc__.partition("\n\n")[2].partition("\nEverything")[0]
    path = tmp_path / "test_example.py"
    path.write_text(code)
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-W",
            "error::pytest.PytestCollectionWarning",
            "-q",
            "-p",
            "no:cacheprovider",
            path,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in run.stdout, run.stdout
