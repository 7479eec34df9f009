"""`inferq jobs retry`."""

import json
import os
import signal
from contextlib import closing

import pytest
from answering import Answering, add_model

from inferq import Client, ErrorCode, State, load_settings
from inferq import retrying as pages
from inferq.cli.meter import Meter
from inferq_core.broker import Publisher
from inferq_core.store import open_store


@pytest.fixture
def store(home):
    with closing(open_store(load_settings())) as opened:
        yield opened


@pytest.fixture
def failed(store, end_job):
    """Ids of jobs, oldest first, that ended with these codes."""
    add_model(store, "sums")
    add_model(store, "others")

    def make(*codes, model="sums"):
        with Client(load_settings(), store=store) as client:
            ids = [job.id for job in client.submit_many(model, [[1, 2]] * len(codes))]
        for job_id, code in zip(ids, codes, strict=True):
            end_job(job_id, State.FAILED, code)
        return ids

    return make


def depth():
    with closing(Publisher(load_settings().broker)) as publisher:
        return publisher.depth("predictions")


def retried(ended):
    assert ended.code == 0, ended.err
    return {line["id"]: line["retried_as"] for line in map(json.loads, ended.out.splitlines())}


def test_one_by_its_id(run, failed, store):
    (old,) = failed(ErrorCode.MODEL_ERROR)
    before = depth()
    ended = run("jobs", "retry", old)
    new = ended.out.split()[-1]
    assert (ended.code, ended.out, ended.err) == (0, f"{old}  retried as {new}\n", "inferq: 1 job retried\n")
    assert store.state(new) is State.QUEUED
    assert depth() == before + 1
    again = run("jobs", "retry", old)
    assert (again.out, again.err) == (
        f"{old}  was retried before, as {new}\n",
        "inferq: 0 jobs retried, 1 before\n",
    )
    assert json.loads(run("jobs", "show", old, "--json").out)["retried_as"] == new
    assert json.loads(run("jobs", "show", new, "--json").out)["retry_of"] == old


def test_those_that_match(run, failed, store):
    errors = failed(ErrorCode.MODEL_ERROR, ErrorCode.WORKER_LOST, ErrorCode.MODEL_ERROR)
    others = failed(ErrorCode.WORKER_LOST, model="others")

    def matching(*options):
        return retried(run("jobs", "retry", "--state", "failed", "--dry-run", "--json", *options)).keys()

    assert matching() == {*errors, *others}
    assert matching("--code", "worker_lost") == {errors[1], *others}
    assert matching("--code", "worker_lost", "--model", "sums") == {errors[1]}
    assert matching("--since", "2100-01-01") == set()
    assert store.counts() == {("sums", State.FAILED): 3, ("others", State.FAILED): 1}


def test_it_goes_on_where_it_was_interrupted(run, failed, store, monkeypatch):
    monkeypatch.setattr(pages, "PAGE_JOBS", 2)
    ids = failed(*[ErrorCode.MODEL_ERROR] * 5)
    first = retried(run("jobs", "retry", *ids[3:], "--json"))
    rest = retried(run("jobs", "retry", "--state", "failed", "--json"))
    assert (first.keys(), rest.keys()) == ({*ids[3:]}, {*ids[:3]})
    assert retried(run("jobs", "retry", "--state", "failed", "--json")) == {}
    assert store.counts() == {("sums", State.FAILED): 5, ("sums", State.QUEUED): 5}


class TestBacklog:
    BOUND = 10

    @pytest.fixture
    def ids(self, store, failed):
        ids = failed(*[ErrorCode.MODEL_ERROR] * 35)
        store.put_model("sums", max_backlog=self.BOUND)
        return ids

    def unfinished(self, store):
        return sum(n for (_, state), n in store.counts().items() if not state.terminal)

    def test_it_waits_for_room_and_exceeds_nothing(self, run, store, ids):
        waiting = []
        with Answering(store) as answering:
            end = answering._end
            answering._end = lambda some: (waiting.append(self.unfinished(store)), end(some))
            ended = run("jobs", "retry", "--state", "failed", "--json")
        assert retried(ended).keys() == {*ids}
        assert ended.err.count("Waiting") == 1
        assert f"max_backlog of {self.BOUND}. Waiting" in ended.err
        assert 0 < max(waiting) <= self.BOUND
        assert sum(store.counts().values()) == 2 * len(ids)

    def test_while_it_waits_it_can_be_interrupted_and_goes_on(self, run, store, ids, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(Meter, "say", lambda *_: os.kill(os.getpid(), signal.SIGINT))
            ended = run("jobs", "retry", *ids)
        assert ended.code == 130
        assert f"interrupted. {self.BOUND} jobs retried so far; the same command goes on" in ended.err
        assert self.unfinished(store) == self.BOUND
        with Answering(store):
            ended = run("jobs", "retry", *ids)
        assert (ended.code, len(ended.out.splitlines())) == (0, len(ids))
        assert f"{len(ids) - self.BOUND} jobs retried, {self.BOUND} before" in ended.err
        assert sum(store.counts().values()) == 2 * len(ids)

    def test_a_job_that_never_fits_is_not_waited_for(self, run, store, ids, end_job):
        store.put_model("sums", max_backlog=50)
        with Client(load_settings(), store=store) as client:
            large = client.submit("sums", [[1, 2]] * 11).id
        end_job(large, State.FAILED, ErrorCode.MODEL_ERROR)
        store.put_model("sums", max_backlog=self.BOUND)
        ended = run("jobs", "retry", ids[0], large)
        assert (ended.code, len(ended.out.splitlines())) == (3, 1)
        assert "11 rows are more than its max_backlog of 10 and never fit" in ended.err
        assert "1 jobs retried so far" in ended.err


def test_nothing_is_retried_when_one_of_the_ids_is_wrong(run, failed, store):
    (old,) = failed(ErrorCode.MODEL_ERROR)
    ended = run("jobs", "retry", old, "01890a5d-ac96-774b-bcce-b302099a8057")
    assert (ended.code, ended.out) == (4, "")
    assert store.counts() == {("sums", State.FAILED): 1}


def test_the_queue_is_that_of_the_model_now(run, failed, store):
    (old,) = failed(ErrorCode.MODEL_ERROR)
    store.put_model("sums", queue="heavy")
    new = retried(run("jobs", "retry", old, "--json"))[old]
    assert store.view(new).queue == "heavy"
