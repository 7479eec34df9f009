"""What every client promises, whatever stands behind it. One body for all of them:

the client and the asynchronous client, each with a real broker and a real worker, and with the testing client's; both
clients over HTTP, with a gateway in front of the same broker and worker.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from driven import DrivenClient
from live import BOUND, add_models, running_worker
from served import process_of

from inferq import (
    BacklogFull,
    Client,
    ErrorCode,
    IdempotencyConflict,
    InvalidInput,
    JobFailed,
    JobUnfinished,
    State,
    UnknownJob,
    UnknownModel,
    UnknownVersion,
    WaitTimeout,
)
from inferq.aio import AsyncClient
from inferq.http import AsyncHttpClient, HttpClient
from inferq.testing import TestingClient
from inferq_core.ids import new_job_id

ROW = [1.0, 2.0, 3.0, 4.0]
PATIENCE = 60


@dataclass
class Sides:
    client: Any  # jobs run
    idle: Any  # jobs of the model `idle` stay queued
    work: Callable[[], Any] = lambda: None  # what the others wait for is done now


@pytest.fixture(scope="session")
def live_settings(tmp_path_factory, broker_url):
    folder = tmp_path_factory.mktemp("live")
    with running_worker(folder, broker_url, f"live-{folder.parent.name}"[:60]) as settings:
        yield settings


@pytest.fixture(scope="session")
def gateway_url(live_settings, tmp_path_factory):
    with process_of(live_settings, tmp_path_factory.mktemp("gateway") / "gateway.log") as gateway:
        yield str(gateway.http.base_url)


@pytest.fixture(scope="module")
def testing_sides():
    with TestingClient() as client, TestingClient(execute="manual") as idle:
        add_models(client.register)
        add_models(idle.register)
        yield Sides(client, idle, idle.run_pending)


@pytest.fixture(
    params=["client", "async client", "testing client", "async testing client", "http client", "async http client"]
)
def sides(request):
    if request.param == "client":
        with Client(request.getfixturevalue("live_settings")) as client:
            yield Sides(client, client)
    elif request.param == "async client":
        client = DrivenClient(AsyncClient(request.getfixturevalue("live_settings")))
        yield Sides(client, client)
        client.close()
    elif request.param == "http client":
        with HttpClient(request.getfixturevalue("gateway_url")) as client:
            yield Sides(client, client)
    elif request.param == "async http client":
        client = DrivenClient(AsyncHttpClient(request.getfixturevalue("gateway_url")))
        yield Sides(client, client)
        client.close()
    elif request.param == "testing client":
        yield request.getfixturevalue("testing_sides")
    else:
        real = request.getfixturevalue("testing_sides")
        client, idle = (DrivenClient(AsyncClient(client=side)) for side in (real.client, real.idle))
        yield Sides(client, idle, real.work)
        client.close()
        idle.close()


@pytest.fixture
def client(sides):
    return sides.client


@pytest.fixture
def idle(sides):
    return sides.idle


def test_a_job_ends_with_its_result(client):
    job = client.submit("sums", [ROW, [5.0, 6.0, 7.0, 8.0]], metadata={"order": 12})
    result = job.result(timeout=PATIENCE)
    assert (result.id, result.state, result.model) == (job.id, State.SUCCEEDED, "sums")
    assert result.outputs == pytest.approx([10.0, 26.0])
    assert (result.version, result.variant, result.attempt, result.error_code) == (1, "primary", 1, None)
    assert result.batch_rows >= 2
    assert 0 <= result.timings.queued <= result.timings.total
    assert 0 <= result.timings.predicted <= result.timings.total
    assert job.state() is State.SUCCEEDED


@pytest.mark.parametrize(
    ("rows", "outputs"),
    [(ROW, [10]), ([ROW, ROW], [10, 10]), (np.array([ROW, ROW]), [10, 10]), (pd.DataFrame([ROW]), [10])],
    ids=["row", "lists", "array", "frame"],
)
def test_rows_come_in_many_forms(client, rows, outputs):
    assert client.submit("sums", rows).result(timeout=PATIENCE).outputs == pytest.approx(outputs)


def test_a_method_other_than_predict(client):
    [[inland, coast]] = (
        client.submit("coasts", {"city": "Lima"}, method="predict_proba").result(timeout=PATIENCE).outputs
    )
    assert coast > inland
    assert inland + coast == pytest.approx(1)


def test_what_raises_fails_alone_and_says_why(client):
    jobs = client.submit_many("coasts", [{"city": "Lima"}, {"city": "Atlantis"}, {"city": "Ulm"}])
    assert jobs[0].result(timeout=PATIENCE).outputs == [1]
    assert jobs[2].result(timeout=PATIENCE).outputs == [0]
    with pytest.raises(JobFailed, match="Atlantis") as caught:
        jobs[1].result(timeout=PATIENCE)
    assert (caught.value.code, caught.value.job_id) == (ErrorCode.MODEL_ERROR, jobs[1].id)
    assert jobs[1].state() is State.FAILED
    assert client.result(jobs[1].id).state is State.FAILED


def once_there_is_room(call):
    """A client believes a look at the load for a while."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except BacklogFull:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_job_past_its_deadline_expires(client):
    # Less than any clock shows. While others' jobs wait for the worker it is refused instead.
    job = once_there_is_room(lambda: client.submit("sums", ROW, deadline=1e-9))
    with pytest.raises(JobFailed) as caught:
        job.result(timeout=PATIENCE)
    assert caught.value.code is ErrorCode.DEADLINE_EXCEEDED
    assert job.state() is State.EXPIRED


def test_a_job_tells_when_it_will_be_done(sides):
    ended = sides.client.submit("sums", ROW)
    ended.result(timeout=PATIENCE)
    assert (ended.eta(), sides.client.eta(ended.id)) == (0.0, 0.0)
    # Nobody serves the other: no number is invented.
    assert sides.idle.submit("idle", ROW).eta() is None
    with pytest.raises(UnknownJob):
        sides.client.eta(new_job_id())


def test_many_items_are_answered_in_order(client):
    items = [[float(number)] * 4 for number in range(1_200)]
    jobs = client.submit_many("sums", items)
    assert [job.id for job in jobs] == sorted({job.id for job in jobs})
    outputs = {job.id: job.result(timeout=0).outputs[0] for job in client.as_completed(jobs, timeout=PATIENCE)}
    assert [outputs[job.id] for job in jobs] == pytest.approx([4.0 * number for number in range(1_200)])


def test_jobs_are_handed_out_as_they_end_each_once(client):
    jobs = client.submit_many("sums", [ROW] * 30)
    done = list(client.as_completed([*jobs, jobs[0].id, *jobs], timeout=PATIENCE))
    assert len(done) == 30
    assert set(done) == set(jobs)
    assert all(job.result(timeout=0).outputs == pytest.approx([10]) for job in done)


def test_failed_jobs_are_handed_out_too(client):
    good, bad = client.submit_many("coasts", [{"city": "Bern"}, {"city": "Atlantis"}])
    states = {job.id: job.state() for job in client.as_completed([good, bad], timeout=PATIENCE)}
    assert states == {good.id: State.SUCCEEDED, bad.id: State.FAILED}


def test_nothing_to_wait_for_ends_at_once(client):
    assert list(client.as_completed([])) == []
    assert client.submit_many("sums", []) == []


def test_a_stream_is_drawn_from_as_its_handles_are_taken(client):
    drawn = itertools.count()
    stream = client.submit_stream("sums", ([float(next(drawn)), 0, 0, 0] for _ in itertools.count()))
    jobs = list(itertools.islice(stream, 3))
    stream.close()
    assert [job.result(timeout=PATIENCE).outputs[0] for job in jobs] == pytest.approx([0, 1, 2], abs=1e-9)
    assert next(drawn) <= 1_001


def test_an_item_that_does_not_fit_is_named(client):
    with pytest.raises(InvalidInput, match=r"item 2: .*expected 4 features, got 2"):
        client.submit_many("sums", [ROW, ROW, [1, 2]])
    with pytest.raises(InvalidInput, match="item 1: "):
        list(client.submit_stream("sums", iter([ROW, [1, 2]])))


def test_what_there_is_no_room_for_is_refused(idle):
    taken_back = once_there_is_room(lambda: idle.submit("bounded", ROW))
    assert taken_back.cancel()
    jobs = once_there_is_room(lambda: idle.submit_many("bounded", [ROW] * BOUND))
    for more in (
        lambda: idle.submit("bounded", ROW),
        lambda: idle.submit_many("bounded", [ROW]),
        lambda: list(idle.submit_stream("bounded", iter([ROW]))),
        lambda: idle.retry(taken_back),
        lambda: idle.retry_many([taken_back]),
    ):
        with pytest.raises(BacklogFull, match=f"'bounded'.*1 more would exceed its max_backlog of {BOUND}") as full:
            more()
        # Nobody serves it: no number is invented.
        assert (full.value.model, full.value.retry_after, full.value.never_fits) == ("bounded", None, False)
    with pytest.raises(BacklogFull, match="never fit") as full:
        idle.submit("bounded", [ROW] * (BOUND + 1))
    assert full.value.never_fits
    assert [job.state() for job in jobs] == [State.QUEUED] * BOUND
    idle.cancel_many(jobs)
    again = once_there_is_room(lambda: idle.retry(taken_back))
    assert again.cancel()


@pytest.mark.parametrize(
    ("model", "rows", "options", "error", "message"),
    [
        ("nobody", ROW, {}, UnknownModel, "nobody"),
        ("", ROW, {}, InvalidInput, "model=''"),
        ("sums", [[1, 2, 3]], {}, InvalidInput, "expected 4 features, got 3"),
        ("sums", [[1, 2, "three", 4]], {}, InvalidInput, "column 2.*'three'"),
        ("coasts", {"town": "Lima"}, {}, InvalidInput, "'city'"),
        ("sums", ROW, {"version": 9}, UnknownVersion, "9"),
        ("sums", ROW, {"method": "guess"}, InvalidInput, "method='guess'"),
        ("sums", ROW, {"method": "transform"}, InvalidInput, "no method 'transform'"),
        ("sums", ROW, {"priority": "urgent"}, InvalidInput, "priority='urgent'"),
        ("sums", ROW, {"deadline": 0}, InvalidInput, "deadline=0"),
        ("sums", ROW, {"metadata": [1]}, InvalidInput, "metadata"),
    ],
)
def test_what_does_not_fit_is_refused(client, model, rows, options, error, message):  # noqa: PLR0917
    with pytest.raises(error, match=message):
        client.submit(model, rows, **options)


def test_the_same_key_is_the_same_job(client):
    key = f"order {new_job_id()}"
    first = client.submit("sums", ROW, idempotency_key=key)
    again = client.submit("sums", ROW, idempotency_key=key)
    assert (again, hash(again)) == (first, hash(first))
    with pytest.raises(IdempotencyConflict, match=key):
        client.submit("sums", [0, 0, 0, 0], idempotency_key=key)
    assert again.result(timeout=PATIENCE).outputs == pytest.approx([10])


@pytest.mark.parametrize("job_id", ["01890a5d-ac96-774b-bcce-b302099a8057", "no id at all", "", None, 7])
def test_an_id_never_issued_is_unknown_everywhere(client, job_id):
    issued = client.submit("sums", ROW)
    for ask in (
        lambda: client.state(job_id),
        lambda: client.result(job_id),
        lambda: client.result(job_id, timeout=10),
        lambda: client.result(job_id, timeout=None),
        lambda: client.job(job_id).state(),
        lambda: client.job(job_id).result(timeout=10),
        lambda: next(iter(client.as_completed([issued, job_id]))),
        lambda: client.feedback(job_id, 1),
        lambda: client.feedback_many([(issued, 1), (job_id, 1)]),
    ):
        with pytest.raises(UnknownJob):
            ask()


def test_an_id_is_known_in_any_spelling(client):
    job = client.submit("sums", ROW)
    assert client.job(job.id.upper()) == job
    assert client.job(job.id.replace("-", "")).result(timeout=PATIENCE).id == job.id
    assert client.state(job.id.upper()) is State.SUCCEEDED


def test_an_unfinished_job_is_not_waited_for_too_long(idle):
    job = idle.submit("idle", ROW)
    with pytest.raises(WaitTimeout, match="still queued; it goes on"):
        idle.result(job.id)
    with pytest.raises(WaitTimeout, match=r"still queued after 0\.05 s"):
        job.result(timeout=0.05)
    with pytest.raises(WaitTimeout, match="1 of 1"):
        list(idle.as_completed([job], timeout=0.05))
    with pytest.raises(WaitTimeout, match="1 of 1"):
        list(idle.as_completed([job], timeout=0))
    assert job.state() is State.QUEUED


def test_those_that_ended_come_before_the_timeout(sides):
    ended = sides.idle.submit("sums", ROW)
    sides.work()
    sides.idle.result(ended.id, timeout=PATIENCE)
    queued = sides.idle.submit("idle", ROW)
    completed = sides.idle.as_completed([queued, ended], timeout=0)
    assert next(completed) == ended
    with pytest.raises(WaitTimeout, match="1 of 2"):
        next(completed)


def test_the_truth_is_told_later(client):
    jobs = client.submit_many("sums", [ROW, [ROW, ROW]])
    client.feedback(jobs[0], 11)
    client.feedback(jobs[0].id, 10)
    client.feedback_many([(jobs[0], 10), (jobs[1].id, [10, 10])])


def test_a_queued_job_can_be_taken_back(sides):
    job, other = sides.idle.submit("idle", ROW), sides.idle.submit("idle", ROW)
    assert job.cancel()
    assert job.state() is State.CANCELLED
    with pytest.raises(JobFailed) as ended:
        job.result(timeout=PATIENCE)
    assert ended.value.code is ErrorCode.CANCELLED
    assert not job.cancel()
    assert sides.idle.cancel_many([job, other]) == {job.id: State.CANCELLED, other.id: State.QUEUED}


def test_what_has_ended_cannot_be_taken_back(client):
    job = client.submit("sums", ROW)
    assert job.result(timeout=PATIENCE).outputs
    assert not client.cancel(job.id)
    assert job.state() is State.SUCCEEDED
    with pytest.raises(UnknownJob):
        client.cancel(new_job_id())


def test_what_has_ended_is_run_once_more(client):
    job = client.submit("coasts", {"city": "Atlantis"}, metadata={"order": 7})
    with pytest.raises(JobFailed):
        job.result(timeout=PATIENCE)
    again = client.retry(job)
    assert again != job
    assert client.result(again.id, timeout=PATIENCE).error_code is ErrorCode.MODEL_ERROR
    assert client.retry(job.id) == again
    assert client.retry_many([again, job])[1] == again
    assert job.state() is State.FAILED


def test_what_has_not_ended_is_not_run_once_more(sides):
    ended, queued = sides.idle.submit("idle", ROW), sides.idle.submit("idle", ROW)
    ended.cancel()
    with pytest.raises(JobUnfinished, match=f"{queued.id} is still queued"):
        sides.idle.retry_many([ended, queued])
    with pytest.raises(UnknownJob):
        sides.idle.retry_many([ended, new_job_id()])
    assert sides.idle.retry(ended).state() is State.QUEUED
    assert sides.idle.retry_many([]) == []
