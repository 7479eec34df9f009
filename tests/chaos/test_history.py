"""The checker finds what it is there to find."""

import sqlite3

import pytest
from history import Expected, History

from inferq.testing import TestingClient

JUST = [1.0, 2.0]


@pytest.fixture
def client():
    with TestingClient(execute="manual") as testing:
        testing.fake_model("sum", lambda X: X.sum(axis=1), sample=[JUST])
        yield testing


@pytest.fixture
def history(client):
    watching = History(client._store, client.settings.store)
    yield watching
    watching.close()


def accepted(client, history, expected):
    job = client.submit("sum", [JUST])
    history.accept({job.id: expected})
    return job


def test_what_went_well_is_clean(client, history):
    accepted(client, history, Expected([3.0]))
    client.run_pending()
    assert history.wait(30)
    assert history.verdict().clean


def test_a_job_that_never_ends_is_lost(client, history):
    job = accepted(client, history, Expected([3.0]))
    assert not history.wait(0)
    assert history.verdict().lost == [job.id]


def test_an_id_that_the_store_does_not_know_is_lost(client, history):
    accepted(client, history, Expected([3.0]))
    history.accept({"01900000-0000-7000-8000-000000000000": Expected([3.0])})
    client.run_pending()
    assert len(history.verdict().lost) == 1


@pytest.mark.parametrize("expected", [Expected([4.0]), Expected(code="model_error")])
def test_another_answer_is_wrong(client, history, expected):
    job = accepted(client, history, expected)
    client.run_pending()
    assert history.verdict().wrong == [job.id]


def test_a_result_that_is_replaced_has_changed(client, history):
    job = accepted(client, history, Expected([3.0]))
    client.run_pending()
    assert history.wait(30)
    execute(client, "UPDATE results SET attempt = 7")
    assert history.verdict().changed == [job.id]


def test_a_result_beside_an_open_job_is_doubled(client, history):
    job = accepted(client, history, Expected([3.0]))
    execute(client, "CREATE TABLE kept AS SELECT * FROM pending")
    client.run_pending()
    execute(client, "INSERT INTO pending SELECT * FROM kept")
    assert history.verdict().doubled == [job.id]


def test_verdicts_may_begin_later(client, history):
    accepted(client, history, Expected([4.0]))
    client.run_pending()
    assert history.verdict(since=1).clean


def execute(client, statement):
    connection = sqlite3.connect(client.settings.store.removeprefix("sqlite:///"))
    with connection:
        connection.execute(statement)
    connection.close()
