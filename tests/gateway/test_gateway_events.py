"""Server-sent events of a prediction, on either store."""

import json
import threading
from contextlib import ExitStack, contextmanager

import pytest
from installation import ROW, until
from served import PATIENCE, ServedHere, accepted, assert_problem, bearing, enqueue, process_of

from inferq.gateway import access, events
from inferq_core.ids import JobId, new_batch_id, new_job_id
from inferq_core.store.records import KeyScope


class Listener:
    """What comes: `events` (the marks), `data` by mark, `comments`; `ended` once the stream has."""

    def __init__(self, answer):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        self.events, self.data, self.comments, self.ended = [], {}, 0, False
        self.thread = threading.Thread(target=self._listen, args=(answer,))
        self.thread.start()

    def _listen(self, answer):
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comments += 1
            elif name == "id":
                self.events.append(value)
            elif name == "data":
                self.data[self.events[-1]] = json.loads(value)
        self.ended = True

    def sees(self, mark):
        until(lambda: mark in self.data)
        return self.data[mark]


@contextmanager
def listening(http, job_id, headers=None):
    with http.stream("GET", f"/v1/predictions/{job_id}/events", headers=headers) as answer:
        listener = Listener(answer)
        yield listener
    listener.thread.join(PATIENCE)


def test_an_event_for_each_change_and_an_end(installation, http):
    job_id = accepted(http)
    with listening(http, job_id) as listener:
        assert listener.sees("queued.0") | {"eta_seconds": None} == http.get(f"/v1/predictions/{job_id}").json()
        store, batch = installation.store, new_batch_id()
        store.claim(batch, [JobId(job_id)], worker="w", lease=60)
        assert listener.sees("running.1")["state"] == "running"
        store.release(batch, max_attempts=20)
        assert listener.sees("queued.1")["attempts"] == 1
        installation.finish(installation.client.job(job_id))
        assert listener.sees("succeeded.2") == http.get(f"/v1/predictions/{job_id}").json()
        until(lambda: listener.ended)
    assert listener.events[:3] == ["queued.0", "running.1", "queued.1"]
    assert listener.events[3:] == ["running.2", "succeeded.2"]  # told even where it was too short to be seen


def test_whoever_comes_again_gets_what_is_new(local, local_http):
    job_id = accepted(local_http)
    with local_http.stream("GET", f"/v1/predictions/{job_id}/events", headers={"Last-Event-ID": "queued.0"}) as answer:
        local.store.claim(new_batch_id(), [JobId(job_id)], worker="w", lease=60)
        assert next(line for line in answer.iter_lines() if line.startswith("id:")) == "id: running.1"
    local.store.cancel([JobId(job_id)])
    for last, expected in (
        ("running.1", ["cancelled.1"]),
        ("", ["cancelled.1"]),
        ("what.9", ["cancelled.1"]),
    ):
        with listening(local_http, job_id, {"Last-Event-ID": last}) as listener:
            until(lambda: listener.ended)
        assert listener.events == expected
    answer = local_http.get(f"/v1/predictions/{job_id}/events", headers={"Last-Event-ID": "cancelled.1"})
    assert (answer.status_code, answer.content) == (204, b"")


def test_comments_keep_it_alive(local, local_http, monkeypatch):
    monkeypatch.setattr(events, "SILENCE_SECONDS", 0.05)
    job_id = accepted(local_http)
    with listening(local_http, job_id) as listener:
        until(lambda: listener.comments >= 2)
        local.store.cancel([JobId(job_id)])
        until(lambda: listener.ended)
    assert listener.events == ["queued.0", "cancelled.0"]


def test_only_who_may_see_it_and_only_as_long(installation, monkeypatch):
    monkeypatch.setattr(access, "FRESH_SECONDS", 0.0)
    store = installation.store
    mine, theirs = bearing(store, KeyScope.SUBMIT), bearing(store, KeyScope.SUBMIT)
    with ServedHere(installation) as http:
        job_id = accepted(http, headers=mine)
        path = f"/v1/predictions/{job_id}/events"
        assert_problem(http.get(path, headers=theirs), 404, "unknown-prediction")
        assert_problem(http.get(f"/v1/predictions/{new_job_id()}/events", headers=mine), 404, "unknown-prediction")
        with listening(http, job_id, mine) as listener:
            listener.sees("queued.0")
            store.revoke_key(mine["Authorization"].split("_")[1])
            until(lambda: listener.ended)
    assert listener.events == ["queued.0"]


def test_many_listeners_share_the_looks(local, local_http, monkeypatch):
    looks = []
    real = local.store.now_of
    monkeypatch.setattr(local.store, "now_of", lambda ids: looks.append(len(ids)) or real(ids))
    ids = [accepted(local_http) for _ in range(20)]
    with ExitStack() as stack:
        listeners = [stack.enter_context(listening(local_http, job_id)) for job_id in ids]
        until(lambda: max(looks, default=0) > 1)
        local.store.cancel(list(map(JobId, ids)))
        until(lambda: all(listener.ended for listener in listeners))


def test_a_gateway_that_stops_ends_the_stream(worked, tmp_path):
    with process_of(worked, tmp_path / "gateway.log") as gateway:
        job_id = enqueue(gateway.http, model="idle").json()["id"]
        with listening(gateway.http, job_id) as listener:
            listener.sees("queued.0")
            gateway.process.terminate()
            until(lambda: listener.ended)
            assert gateway.process.wait(PATIENCE) == 0
    assert listener.events == ["queued.0"]


def test_with_a_worker(live):
    job_id = accepted(live)
    with listening(live, job_id) as listener:
        until(lambda: listener.ended)
    assert listener.events[-1].startswith("succeeded.")
    assert listener.data[listener.events[-1]]["outputs"] == pytest.approx([sum(ROW)])
