"""Spans of OpenTelemetry, from a gateway and a worker that are processes of their own."""

import pytest
from live import running_worker
from served import ROW, accepted, enqueue, process_of

from inferq import Client
from inferq.options import check_options

pytest.importorskip("opentelemetry.sdk", reason="no extra otel on this machine")

from collector import collecting

SERVER, PRODUCER, CONSUMER = 2, 4, 5


def trace_of(digit):
    """A caller's traceparent, its trace and its span."""
    trace, span = digit * 32, digit * 16
    return f"00-{trace}-{span}-01", trace, span


def test_one_trace_from_the_request_to_the_write_of_its_result(tmp_path, broker_url, monkeypatch):
    mine, others = trace_of("a"), [trace_of(digit) for digit in "bc"]
    with collecting() as (url, spans):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        # Whatever arrives was sent at the end of the processes.
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
        with running_worker(tmp_path, broker_url, f"gw-otel-{tmp_path.parent.name}"[:60]) as settings:
            with process_of(settings, tmp_path / "gateway.log") as gateway:
                answer = enqueue(gateway.http, headers={"traceparent": mine[0], "Prefer": "wait=50"})
                assert answer.json()["state"] == "succeeded"
                untraced = accepted(gateway.http)
                assert gateway.http.get("/v1/nothing").status_code == 404
            with Client(settings) as client:
                client.result(untraced, timeout=50)
                # Two callers in one message, which no worker takes apart.
                two = [("sums", [ROW], check_options(traceparent=other[0])) for other in others]
                for job_id in client._submit_each(two):
                    assert client.result(job_id, timeout=50).outputs == [pytest.approx(10)]
        assert not [line for line in (tmp_path / "gateway.log").read_text().splitlines() if "exception" in line]

    ours = {span.name: span for span in spans if span.trace == mine[1]}
    assert set(ours) == {
        "POST /v1/models/{model}/predictions",
        "inferq.accept",
        "inferq.batch",
        "inferq.predict",
        "inferq.complete",
    }
    request, batch = ours["POST /v1/models/{model}/predictions"], ours["inferq.batch"]
    assert (request.service, request.kind, request.parent) == ("inferq-gateway", SERVER, mine[2])
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == "/v1/models/{model}/predictions"
    accept = ours["inferq.accept"]
    assert (accept.service, accept.kind, accept.parent) == ("inferq-gateway", PRODUCER, request.id)
    assert (batch.service, batch.kind, batch.parent) == ("inferq-worker", CONSUMER, request.id)
    assert (batch.attributes["inferq.model"], batch.attributes["inferq.jobs"]) == ("sums", 1)
    for name in ("inferq.predict", "inferq.complete"):
        assert ours[name].parent == batch.id
        assert batch.began <= ours[name].began <= ours[name].ended <= batch.ended
    assert not any(span.failed for span in ours.values())

    # A batch of several traces is none of them, and linked to all.
    [merged] = [span for span in spans if len(span.links) == 2]
    assert merged.links == {other[1:] for other in others}
    assert merged.trace not in {mine[1], *(other[1] for other in others)}
    # A request of no trace begins one, which its batch joins.
    roots = [span for span in spans if span.kind == SERVER and not span.parent]
    assert {"POST /v1/models/{model}/predictions", "GET"} == {span.name for span in roots}
    began = next(span for span in roots if span.name.startswith("POST"))
    assert [span.name for span in spans if span.trace == began.trace].count("inferq.batch") == 1
    everything = repr(spans)
    assert "1.0, 2.0" not in everything
    assert len([span for span in spans if span.service == "inferq-worker"]) >= 4


def test_a_collector_that_is_away_holds_nothing_up(worked, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with process_of(worked, tmp_path / "gateway.log") as gateway:
        assert enqueue(gateway.http, headers={"Prefer": "wait=50"}).status_code == 200
        gateway.process.terminate()
        assert gateway.process.wait(25) == 0
