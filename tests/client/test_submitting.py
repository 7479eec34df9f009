"""What is accepted is durable and announced; what is refused leaves nothing behind."""

import itertools
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from installation import FEATURES, ROW, add_version, matrix_signature

from inferq import (
    Client,
    IdempotencyConflict,
    InvalidInput,
    Method,
    Priority,
    SettingsError,
    State,
    UnknownModel,
    UnknownVersion,
)


@pytest.mark.parametrize(
    "rows",
    [[ROW, ROW], np.array([ROW, ROW]), pd.DataFrame([ROW, ROW]), np.array([ROW, ROW], dtype=np.float32)],
    ids=["lists", "array", "frame", "float32"],
)
def test_one_job_holds_all_rows_whatever_they_come_as(installation, rows):
    job = installation.client.submit("sums", rows)
    view = installation.store.view(job.id)
    assert job.state() is State.QUEUED
    assert (view.n_rows, view.queue, view.priority) == (2, installation.settings.queue, Priority.NORMAL)
    assert installation.depth() == 1


def test_options_are_kept(installation):
    job = installation.client.submit(
        "sums",
        ROW,
        version=1,
        method="predict_proba",
        priority="interactive",
        deadline=timedelta(minutes=1),
        routing_key="customer 7",
        metadata={"order": 12},
    )
    view = installation.store.view(job.id)
    assert (view.version, view.method, view.priority) == ("1", Method.PREDICT_PROBA, Priority.INTERACTIVE)
    assert view.metadata == {"order": 12}


@pytest.mark.parametrize(
    ("model", "rows", "message"),
    [
        ("sums", [[1, 2, 3]], "expected 4 features, got 3"),
        ("sums", [[1, 2, "three", 4]], "column 2.*expected a number.*'three'"),
        ("sums", [[1, 2, float("nan"), 4]], "column 2.*expected a finite number.*nan"),
        ("sums", [], "at least one row"),
        ("people", [{"age": 3}], "'city' is missing"),
        ("people", [{"age": "old", "city": "Lima"}], "column 'age'.*expected a number.*'old'"),
    ],
)
def test_rows_that_do_not_fit_leave_nothing_behind(installation, model, rows, message):
    with pytest.raises(InvalidInput, match=message):
        installation.client.submit(model, rows)
    assert_nothing_happened(installation)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "transform"}, InvalidInput, "no method 'transform'; it has predict, predict_proba"),
        ({"method": "guess"}, InvalidInput, "method='guess'.*predict"),
        ({"priority": "urgent"}, InvalidInput, "priority='urgent'.*interactive"),
        ({"priority": 1}, InvalidInput, "priority=1"),
        ({"deadline": 0}, InvalidInput, "deadline=0"),
        ({"deadline": float("nan")}, InvalidInput, "deadline=nan"),
        ({"deadline": "soon"}, InvalidInput, "deadline='soon'"),
        ({"version": 9}, UnknownVersion, "9"),
        ({"version": "challenger"}, UnknownVersion, "challenger"),
        ({"version": True}, InvalidInput, "version=True"),
        ({"routing_key": ""}, InvalidInput, "routing_key=''"),
        ({"idempotency_key": "a\x00b"}, InvalidInput, "idempotency_key"),
        ({"idempotency_key": "retry:0"}, InvalidInput, "those of retried jobs"),
        ({"metadata": {"at": object()}}, InvalidInput, "metadata"),
        ({"metadata": {"text": "x" * 20_000}}, InvalidInput, "metadata has 20"),
        ({"metadata": [1]}, InvalidInput, "metadata.*list"),
    ],
)
def test_options_that_do_not_fit_leave_nothing_behind(installation, options, error, message):
    with pytest.raises(error, match=message):
        installation.client.submit("sums", ROW, **options)
    assert_nothing_happened(installation)


@pytest.mark.parametrize("model", ["nobody", "", 7, "a\x00b"])
def test_an_unknown_model_is_refused(installation, model):
    with pytest.raises((UnknownModel, InvalidInput)):
        installation.client.submit(model, ROW)
    assert_nothing_happened(installation)


def test_a_job_with_more_rows_than_allowed_is_refused(tmp_path, installation):
    settings = installation.settings.model_copy(update={"max_rows_per_job": 2})
    with Client(settings, store=installation.store) as client, pytest.raises(InvalidInput, match=r"3 rows.*at most 2"):
        client.submit("sums", [ROW] * 3)
    assert_nothing_happened(installation)


def test_the_same_key_and_payload_is_the_same_job(installation):
    first = installation.client.submit("sums", ROW, idempotency_key="order 12")
    again = installation.client.submit("sums", np.array([ROW]), idempotency_key="order 12")
    assert again == first
    assert installation.depth() == 1
    assert installation.store.counts() == {("sums", State.QUEUED): 1}


@pytest.mark.parametrize("change", [{"rows": [0, 0, 0, 0]}, {"method": "predict_proba"}, {"version": 1}])
def test_the_same_key_with_another_payload_is_refused(installation, change):
    installation.client.submit("sums", ROW, idempotency_key="order 12")
    options = {"rows": ROW, **change}
    with pytest.raises(IdempotencyConflict, match="order 12"):
        installation.client.submit("sums", options.pop("rows"), idempotency_key="order 12", **options)
    assert installation.store.counts() == {("sums", State.QUEUED): 1}


def test_many_items_become_one_job_each_in_order(installation):
    jobs = installation.client.submit_many("sums", [[float(number)] * FEATURES for number in range(2_500)])
    assert [job.id for job in jobs] == sorted({job.id for job in jobs})
    assert installation.store.counts() == {("sums", State.QUEUED): 2_500}
    assert installation.store.view(jobs[0].id).priority is Priority.BULK
    assert installation.depth() < 50, "jobs share messages"


def test_a_frame_gives_one_job_per_row_by_name(installation):
    frame = pd.DataFrame({"city": ["Lima", "Oslo"], "age": [3.0, None]})
    jobs = installation.client.submit_many("people", frame)
    assert [job.state() for job in jobs] == [State.QUEUED] * 2


def test_nothing_of_a_list_is_stored_when_one_item_does_not_fit(installation):
    items = [ROW] * 3_000
    items[2_999] = [1.0]
    with pytest.raises(InvalidInput, match=r"item 2999: .*expected 4 features, got 1"):
        installation.client.submit_many("sums", items)
    assert_nothing_happened(installation)


def test_an_endless_source_is_drawn_from_only_as_handles_are_taken(installation):
    drawn = itertools.count()
    stream = installation.client.submit_stream("sums", ([float(next(drawn))] * FEATURES for _ in itertools.count()))
    jobs = list(itertools.islice(stream, 3))
    assert [job.state() for job in jobs] == [State.QUEUED] * 3
    assert next(drawn) <= 1_001
    assert sum(installation.store.counts().values()) <= 1_000


@pytest.mark.parametrize("items", ["text", {"age": 3}, 5, None])
def test_many_wants_many(client, items):
    with pytest.raises(InvalidInput):
        client.submit_many("sums", items)


def test_a_new_version_is_seen_soon(installation, monkeypatch):
    monkeypatch.setattr("inferq.catalog.FRESH_SECONDS", 0.0)
    installation.client.submit("sums", ROW)
    add_version(installation.store, "sums", matrix_signature(features=2))
    assert installation.client.submit("sums", [1.0, 2.0]).state() is State.QUEUED
    assert installation.client.submit("sums", ROW, version=1).state() is State.QUEUED


def test_without_a_broker_the_job_is_accepted_and_queued(installation_without_broker, caplog):
    jobs = [installation_without_broker.client.submit("sums", ROW) for _ in range(3)]
    assert [job.state() for job in jobs] == [State.QUEUED] * 3
    assert installation_without_broker.store.counts() == {("sums", State.QUEUED): 3}
    assert [record.message for record in caplog.records] == ["publish_failed"], "one warning, not one per submit"


def test_settings_and_single_ones_do_not_mix(tmp_path, installation):
    with pytest.raises(SettingsError, match="queue"):
        Client(installation.settings, queue="other")
    with Client(home=tmp_path / "other") as client:
        assert client.settings.home_path == tmp_path / "other"


def assert_nothing_happened(installation):
    assert installation.store.counts() == {}
    assert installation.depth() == 0


class TestHowMuchAJobMayHold:
    """[1.0,2.0,3.0,4.0] in brackets: 19 bytes for a row, 37 for two."""

    @pytest.fixture
    def client(self, installation):
        settings = installation.settings.model_copy(update={"max_job_bytes": 30, "max_rows_per_job": 2})
        with Client(settings, store=installation.store) as client:
            yield client

    def test_rows_within_the_bounds_are_taken(self, client):
        assert client.submit("sums", ROW).state() is State.QUEUED

    @pytest.mark.parametrize(
        ("rows", "words"),
        [([ROW, ROW], r"37 bytes .* 30 .*INFERQ_MAX_JOB_BYTES"), ([ROW] * 3, r"3 rows .* 2 .*INFERQ_MAX_ROWS_PER_JOB")],
    )
    def test_others_are_refused_naming_value_and_bound(self, installation, client, rows, words):
        with pytest.raises(InvalidInput, match=words):
            client.submit("sums", rows)
        with pytest.raises(InvalidInput, match=rf"item 1: .*{words}"):
            client.submit_many("sums", [ROW, rows])
        with pytest.raises(InvalidInput, match=rf"item 1: .*{words}"):
            list(client.submit_stream("sums", iter([ROW, rows])))
        assert installation.store.counts() == {}

    def test_long_numbers_count_by_their_digits(self, client):
        with pytest.raises(InvalidInput, match=r"item 1: .*bytes"):
            client.submit_many("sums", np.array([ROW, [1 / 3] * 4]))

    def test_texts_count_by_their_bytes(self, client):
        with pytest.raises(InvalidInput, match="bytes"):
            client.submit("people", {"age": 1, "city": "ü" * 10})
