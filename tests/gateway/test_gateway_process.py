"""`inferq gateway` as people run it: a process, a worker behind it, signals."""

import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from installation import until
from served import PATIENCE, ROW, accepted, enqueue, process_of

from inferq import InferqError, State, load_settings
from inferq_core.ids import JobId
from inferq_core.store import open_store
from inferq_workers import health


def test_enqueue_and_wait(live):
    answer = enqueue(live, [ROW, [5, 6, 7, 8]], headers={"Prefer": f"wait={PATIENCE}"})
    assert answer.status_code == 200
    assert answer.json()["outputs"] == pytest.approx([10.0, 26.0])
    assert live.get(answer.headers["location"]).json() == answer.json()


def test_enqueue_and_ask_later(live):
    job_id = accepted(live, model="coasts", rows=[{"city": "Lima"}], method="predict_proba")
    told = live.get(f"/v1/predictions/{job_id}", headers={"Prefer": f"wait={PATIENCE}"}).json()
    assert told["state"] == "succeeded"
    assert sum(told["outputs"][0]) == pytest.approx(1)


def test_what_the_model_raises_is_an_answer(live):
    answer = enqueue(live, [{"city": "Atlantis"}], model="coasts", headers={"Prefer": f"wait={PATIENCE}"})
    assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert answer.json()["error"]["code"] == "model_error"
    assert "Atlantis" in answer.json()["error"]["message"]


def test_what_is_expected_is_learned(live):
    enqueue(live, headers={"Prefer": f"wait={PATIENCE}"})
    assert enqueue(live).json().keys() == {"id", "model", "state", "eta_seconds"}
    ended = enqueue(live, headers={"Prefer": f"wait={PATIENCE}"}).json()
    assert live.get(f"/v1/predictions/{ended['id']}").json()["eta_seconds"] == 0


def test_many_at_once_are_each_answered_with_their_own(live):
    def ask(number):
        return enqueue(live, [[number, 0, 0, 0]], headers={"Prefer": f"wait={PATIENCE}"}).json()["outputs"][0]

    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(ask, range(300))) == pytest.approx([float(number) for number in range(300)], abs=1e-9)


def test_its_health_is_what_a_container_asks_for(live):
    health.gateway(load_settings(gateway_port=live.base_url.port))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(InferqError, match="does not answer"):
        health.gateway(load_settings(gateway_port=port))


def test_it_describes_itself(live):
    document = live.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "/v1/models/{model}/predictions" in document["paths"]
    for schema in document["components"]["schemas"].values():
        for name, described in schema["properties"].items():
            assert described.get("description"), name


def test_sigterm_answers_who_waits_and_ends(worked, tmp_path):
    with process_of(worked, tmp_path / "gateway.log") as gateway, ThreadPoolExecutor(8) as threads:
        store = open_store(worked)
        left_by_others = len(store.newest(model="idle", limit=500).jobs)
        waiting = [threads.submit(enqueue, gateway.http, model="idle", headers={"Prefer": "wait=50"}) for _ in range(8)]
        try:
            until(lambda: len(store.newest(model="idle", limit=500).jobs) == left_by_others + 8)
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(PATIENCE) == 0
            answers = [future.result(PATIENCE) for future in waiting]
            assert {answer.status_code for answer in answers} == {202}
            assert {answer.json()["state"] for answer in answers} == {"queued"}
            assert {store.state(JobId(answer.json()["id"])) for answer in answers} == {State.QUEUED}
            store.cancel([JobId(answer.json()["id"]) for answer in answers])
        finally:
            store.close()


def test_log_lines_have_the_id_and_never_the_rows(worked, tmp_path):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with process_of(worked, tmp_path / "gateway.log") as gateway:
        mine = enqueue(gateway.http, [[123456.5, 1, 2, 3]], headers={"X-Request-ID": "mine", "traceparent": trace})
        enqueue(gateway.http, [["secret words", 1, 2, 3]], headers={"X-Request-ID": "other"})
    written = gateway.log.read_text()
    lines = {line.get("request_id"): line for line in map(json.loads, written.splitlines())}
    assert {"event": "request", "status": 202, "method": "POST", "traceparent": trace}.items() <= lines["mine"].items()
    assert lines["mine"]["prediction"] == mine.json()["id"]
    assert lines["other"]["status"] == 422
    assert not {"traceparent", "prediction"} & lines["other"].keys()
    assert "123456.5" not in written
    assert "secret words" not in written


def test_a_port_that_is_taken_is_one_line(worked):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "inferq.cli.main", "gateway", "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"inferq: cannot listen on 127.0.0.1 port {port}: ")
    assert ended.stderr.count("\n") == 1


def test_beyond_loopback_it_refuses_to_start(monkeypatch, tmp_path):
    monkeypatch.setenv("INFERQ_GATEWAY_ADDRESS", "0.0.0.0")
    monkeypatch.setenv("INFERQ_HOME", str(tmp_path))
    command = [sys.executable, "-m", "inferq.cli.main", "gateway"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("inferq: '0.0.0.0' is reached from other machines")
    assert ended.stderr.count("\n") == 1


def test_the_names_of_states_are_those_of_the_store():
    from inferq.gateway import schemas
    from inferq_core.states import ErrorCode, Method, Priority

    assert schemas.StateName.__args__ == tuple(member.value for member in State)
    assert schemas.MethodName.__args__ == tuple(member.value for member in Method)
    assert schemas.PriorityName.__args__ == tuple(member.label for member in Priority)
    codes = schemas.PredictionError.model_fields["code"].annotation.__args__
    assert codes == tuple(member.value for member in ErrorCode)


def test_settings_have_the_defaults_that_are_written():
    settings = load_settings()
    assert (settings.gateway_address, settings.gateway_port) == ("127.0.0.1", 8000)
