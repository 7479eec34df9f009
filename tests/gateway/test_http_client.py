"""`inferq.http`, beyond what every client promises: what it imports, sends again, keeps to itself, and cannot do."""

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import numpy as np
import pandas as pd
import pytest
from installation import FEATURES, Installation, in_thread, until
from served import PATIENCE, ROW, ServedHere
from test_gateway_keys import bearing

from inferq import InferqError, InvalidInput, JobFailed, Settings, SettingsError, State, UnknownJob
from inferq.http import AsyncHttpClient, HttpClient
from inferq.http.chunks import STREAMED_ITEMS
from inferq.http.exchange import Call, Lost, Pause, answered
from inferq.http.place import KEY_VARIABLE, URL_VARIABLE
from inferq.http.problems import About, Answer
from inferq_core.errors import BacklogFull, GatewayError, GatewayUnavailable, KeyRefused
from inferq_core.ids import new_batch_id
from inferq_core.settings import unknown_variables
from inferq_core.store.records import KeyScope


class Losing(httpx.HTTPTransport):
    """The gateway gets every request; the answers to the first ones are lost on the way."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses
        self.paths = []

    def handle_request(self, request):
        self.paths.append(request.url.path)
        answer = super().handle_request(request)
        answer.read()
        if self.losses:
            self.losses -= 1
            raise httpx.ReadError("the connection was reset")
        return answer


@pytest.fixture
def installation(tmp_path, broker_url):
    """On SQLite: the store makes no difference here, and the contract of all clients runs on a worker."""
    queue = f"hc-{tmp_path.parent.name}-{tmp_path.name}"[-60:].strip("-")
    made = Installation.make(Settings(home=tmp_path, broker_url=broker_url, queue=queue))
    yield made
    made.close()


@pytest.fixture
def url(installation):
    with ServedHere(installation) as http:
        yield str(http.base_url)


@pytest.fixture
def client(url):
    with HttpClient(url) as client:
        yield client


ALONE = """
import json, sys
import httpx
httpx.get(sys.argv[1] + "/v1/health/live")
before = set(sys.modules)
from inferq.http import AsyncHttpClient, HttpClient
with HttpClient(sys.argv[1]) as client:
    job = client.submit("sums", [[1, 2, 3, 4]])
    many = client.submit_many("sums", [[1, 1, 1, 1]])
    outputs = [done.result().outputs[0] for done in client.as_completed([job, *many], timeout=60)]
    client.feedback(job, 10)
roots = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(json.dumps([sorted(round(output) for output in outputs), sorted(roots)]))
"""


def test_it_predicts_with_httpx_and_nothing_else(live):
    """As an application that has no database driver, no broker's client, no numpy and no pydantic would."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-S", "-c", ALONE, str(live.base_url).rstrip("/")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [[4, 10], ["inferq", "inferq_core"]]


def test_a_submit_whose_answer_is_lost_is_not_doubled(url, installation):
    transport = Losing(2)
    with HttpClient(url, transport=transport) as client:
        job = client.submit("sums", ROW)
        transport.losses = 1
        jobs = client.submit_many("sums", [ROW] * 3)
        transport.losses = 1
        assert client.cancel_many(jobs[:1]) == {jobs[0].id: State.CANCELLED}, "the lost request had done it"
        transport.losses = 1
        assert client.retry(jobs[0]) == client.retry(jobs[0])
    assert transport.paths.count("/v1/models/sums/predictions") == 3
    listed = installation.store.newest(limit=50).jobs
    assert {row.id for row in listed} >= {job.id, *(one.id for one in jobs)}
    assert len(listed) == 5


def steps(*outcomes, retry_for=60.0):
    """The pauses between the requests that a flow sends, when they meet these outcomes; and how it ends."""
    flow, pauses = answered(Call("POST", "/x"), About(model="sums"), retry_for), []
    step, outcomes = next(flow), list(outcomes)
    try:
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                step = next(flow)
            else:
                step = flow.send(outcomes.pop(0))
    except StopIteration as end:
        return pauses, end.value.status
    except InferqError as error:
        return pauses, error


def problem(status, slug, headers=None, **members):
    body = {"type": f"urn:inferq:problem:{slug}", "detail": "because", "request_id": "abc", **members}
    return Answer(status, headers or {}, json.dumps(body).encode())


FINE = Answer(200, {}, b"{}")
AWAY = problem(503, "unavailable", {"retry-after": "5"})


def test_what_may_help_is_tried_again_later_each_time():
    pauses, status = steps(Lost("reset"), Answer(502, {}, b"<html>"), Lost("reset"), FINE)
    assert status == 200
    assert len(pauses) == 3
    assert 0 < pauses[0] < pauses[2]
    assert steps(AWAY, problem(429, "rate-limited", {"retry-after": "7"}), FINE) == ([5.0, 7.0], 200)


@pytest.mark.parametrize(
    ("outcome", "kind", "message"),
    [
        (
            problem(429, "backlog-full", {"retry-after": "1"}, model="sums", retry_after_seconds=0.5),
            BacklogFull,
            "sums",
        ),
        (problem(401, "unauthorized"), KeyRefused, r"because \(request abc\)"),
        (problem(403, "forbidden"), KeyRefused, "because"),
        (problem(500, "internal-error"), GatewayError, "because"),
        (problem(413, "too-large"), InvalidInput, "because"),
        (problem(404, "not-found"), GatewayError, "because"),
        (Answer(404, {}, b"<h1>nginx</h1>"), GatewayError, "status 404 with '<h1>nginx</h1>'"),
        (Answer(400, {}, b"\xff[1"), GatewayError, "status 400"),
    ],
)
def test_what_would_not_help_is_told_at_once(outcome, kind, message):
    pauses, error = steps(outcome)
    assert (pauses, type(error)) == ([], kind)
    with pytest.raises(kind, match=message):
        raise error


def test_it_does_not_try_for_longer_than_it_was_told():
    pauses, error = steps(Lost("the gateway is gone"), retry_for=0)
    assert (pauses, type(error)) == ([], GatewayUnavailable)
    pauses, error = steps(AWAY, retry_for=1.0)
    assert (pauses, error.status, error.request_id) == ([], 503, "abc")


def test_a_place_where_no_gateway_is(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "inferq_secret")
    with HttpClient("http://127.0.0.1:1", retry_for=0) as client:
        with pytest.raises(GatewayUnavailable, match=r"http://127\.0\.0\.1:1 does not answer") as error:
            client.submit("sums", ROW)
        assert "secret" not in f"{error.value!r}{client!r}{vars(client)}"

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<h1>hello</h1>")

        def log_message(self, *_):
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    with HttpClient(f"http://127.0.0.1:{server.server_port}") as client, pytest.raises(GatewayError, match="hello"):
        client.state("01890a5d-ac96-774b-bcce-b302099a8057")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "url", ["ftp://x", "127.0.0.1:8000", "http://", "http://x:y", "http://x?a=b", "https://u:secret@x"]
)
def test_an_address_that_is_none(url):
    with pytest.raises(SettingsError) as error:
        HttpClient(url)
    assert "secret" not in str(error.value)


def test_a_key_that_cannot_be_one_is_not_shown():
    with pytest.raises(SettingsError) as error:
        AsyncHttpClient(key="inferq_secret\nX-Other: 1")
    assert "secret" not in str(error.value)


def test_address_and_key_come_from_the_environment(url, installation, monkeypatch):
    key = bearing(installation.store, KeyScope.SUBMIT)["Authorization"].removeprefix("Bearer ")
    monkeypatch.setenv(URL_VARIABLE, url)
    monkeypatch.setenv(KEY_VARIABLE, f"{key}\n")
    assert not {URL_VARIABLE, KEY_VARIABLE} & set(unknown_variables())
    with HttpClient() as client:
        job = client.submit("sums", ROW)
        assert job.state() is State.QUEUED
        with pytest.raises(KeyRefused, match="feedback"):
            client.feedback(job, 1)
    with HttpClient(key="inferq_000000000000_" + "x" * 43) as client, pytest.raises(KeyRefused) as refused:
        client.state(job.id)
    assert (refused.value.status, "xxx" in str(refused.value)) == (401, False)


def test_the_caller_s_trace_goes_with_the_jobs(client, installation):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    jobs = [client.submit("sums", ROW, traceparent=trace), *client.submit_many("sums", [ROW], traceparent=trace)]
    claim = installation.store.claim(new_batch_id(), [job.id for job in jobs], worker="test", lease=60)
    assert [job.traceparent for job in claim.jobs] == [trace, trace]
    with pytest.raises(InvalidInput, match="traceparent"):
        client.submit("sums", ROW, traceparent="mine")


def test_a_webhook_is_asked_for(client):
    job = client.submit("sums", ROW, webhook={"url": "https://receiver.example/ends", "states": ["failed"]})
    assert client.submit("sums", ROW, webhook="https://receiver.example/ends") != job
    with pytest.raises(InvalidInput, match="webhook"):
        client.submit("sums", ROW, webhook="ftp://receiver.example")


def test_what_http_cannot_do_says_so(client):
    with pytest.raises(InvalidInput, match="owner"):
        client.submit("sums", ROW, owner="me")
    with pytest.raises(InvalidInput, match="printable ASCII"):
        client.submit("sums", ROW, idempotency_key="Bestellung Nº 12 für Jürgen")
    with pytest.raises(InvalidInput, match="JSON"):
        client.submit("sums", [[1, 2, 3, object()]])
    with pytest.raises(TypeError, match="wait"):
        client.submit("sums", ROW, wait=5)
    client.close()
    with pytest.raises(InferqError, match="closed"):
        client.submit("sums", ROW)


def test_what_is_wrong_is_told_in_parts(client):
    with pytest.raises(InvalidInput) as caught:
        client.submit("sums", [ROW, [1, 2, "three", 4]])
    assert (caught.value.place, caught.value.expected, caught.value.got) == ((1, 2), "a number", "'three' (str)")
    bad = STREAMED_ITEMS + 1
    rows = (["x"] * FEATURES if number == bad else ROW for number in range(bad + 1))
    with pytest.raises(InvalidInput, match=f"^item {bad}: row 0, column 0") as caught:
        list(client.submit_stream("sums", rows))
    assert caught.value.place == (bad, 0, 0)
    with pytest.raises(InvalidInput, match="row 0, column 1: expected a finite number, got inf"):
        client.submit("sums", [1.0, float("inf"), 3.0, 4.0])
    ended = client.submit("sums", ROW)
    with pytest.raises(UnknownJob, match="01890a5d-ac96-774b-bcce-b302099a8057"):
        client.cancel_many([ended, "01890a5d-ac96-774b-bcce-b302099a8057"])


PEOPLE = [{"age": 41.5, "city": "Ulm"}, {"age": None, "city": "Bern"}]
FORMS = {
    "row": ("sums", ROW),
    "tuple": ("sums", (1, 2, 3, 4)),
    "array": ("sums", np.arange(8, dtype=np.float32).reshape(2, 4) / 3),
    "one array": ("sums", np.arange(4)),
    "arrays": ("sums", [np.arange(4), np.ones(4)]),
    "scalars": ("sums", [[np.float32(0.1), np.int64(2), True, np.float64(1e-300)]]),
    "unnamed frame": ("sums", pd.DataFrame([ROW, ROW], columns=list("abcd"))),
    "unnamed series": ("sums", pd.Series(ROW, index=list("abcd"))),
    "dicts": ("people", PEOPLE),
    "dict": ("people", PEOPLE[0]),
    "missing": ("people", [{"age": float("nan"), "city": "Ulm"}]),
    "frame": ("people", pd.DataFrame(PEOPLE)[["city", "age"]]),
    "series": ("people", pd.Series(PEOPLE[0])),
    "mixed row": ("people", [41, "Ulm"]),
    "lists": ("people", [[41, "Ulm"], [None, "Bern"]]),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_stored_as_the_other_client_stores_them(client, installation, form):
    model, rows = FORMS[form]
    [direct, over_http, *many] = (
        installation.store.inputs(job.id)
        for job in (
            installation.client.submit(model, rows),
            client.submit(model, rows),
            *client.submit_many(model, [rows]),
        )
    )
    assert over_http == direct
    assert many == [direct]


@pytest.mark.parametrize("model", ["sums", "people"])
def test_a_frame_of_many_is_a_job_for_each_row(client, installation, model):
    frame = pd.DataFrame([ROW, ROW]) if model == "sums" else pd.DataFrame(PEOPLE)
    pairs = zip(client.submit_many(model, frame), installation.client.submit_many(model, frame), strict=True)
    assert all(installation.store.inputs(ours.id) == installation.store.inputs(theirs.id) for ours, theirs in pairs)


def test_a_wait_is_a_long_poll(url, installation):
    transport = Losing(0)
    with HttpClient(url, transport=transport) as client:
        job = client.submit("sums", ROW)
        answer = in_thread(lambda: job.result(timeout=PATIENCE).outputs)
        until(lambda: len(transport.paths) == 2)
        installation.finish(job)
        assert answer() == [7]
        other = client.submit("sums", ROW)
        waiting = in_thread(lambda: [done.id for done in client.as_completed([other], timeout=PATIENCE)])
        until(lambda: transport.paths.count("/v1/predictions:query") == 2)
        installation.finish(other)
        assert waiting() == [other.id]
    # One that asked until it was so would have asked hundreds of times on the way.
    assert len(transport.paths) < 10


def test_it_is_shared_by_threads(client, installation):
    with ThreadPoolExecutor(8) as threads:
        jobs = list(threads.map(lambda number: client.submit("sums", [number, 0, 0, 0]), range(64)))
    assert len(set(jobs)) == 64
    assert [installation.store.inputs(job.id)[0][0] for job in jobs] == list(range(64))


def test_tasks_share_it_too_and_one_that_is_cancelled_disturbs_nobody(url, installation):
    async def body():
        async with AsyncHttpClient(url) as client:
            jobs = await asyncio.gather(*(client.submit("sums", ROW) for _ in range(32)))
            waits = [asyncio.create_task(job.result(timeout=PATIENCE)) for job in jobs]
            waits[0].cancel()
            installation.finish(*jobs[:-1])
            installation.finish(jobs[-1], state=State.FAILED, outputs=None, error_message="because")
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError)
            assert [result.outputs for result in results[1:-1]] == [[7]] * 30
            assert isinstance(results[-1], JobFailed)

    asyncio.run(body())


def test_an_asynchronous_source_is_drawn_from_as_handles_are_taken(url):
    drawn = []

    async def rows():
        while True:
            drawn.append(None)
            yield ROW

    async def body():
        async with AsyncHttpClient(url) as client:
            stream = client.submit_stream("sums", rows())
            jobs = [await anext(stream) for _ in range(3)]
            await stream.aclose()
            assert await jobs[0].state() is State.QUEUED
            assert len(drawn) <= STREAMED_ITEMS

    asyncio.run(body())
