"""Bodies of many rows at a gateway that is a process: what it needs, and what is left when it ends."""

import json
import signal
import threading
from pathlib import Path

import httpx
import pytest
from installation import Installation, add_version, matrix_signature, until
from served import PATIENCE, ServedHere, process_of

from inferq import Settings
from inferq_core.store import uploads

NDJSON = {"Content-Type": "application/x-ndjson"}
MIB = 1024 * 1024
FEATURES = 400
ROW = (json.dumps([number / 7 for number in range(FEATURES)]) + "\n").encode()
# Rows that are sent at a time.
PIECE = ROW * 100
BODY_BYTES = 64 * MIB
# Far below the body; what it takes is a few blocks, and what threads and connections leave behind.
MAX_GROWTH = 40 * MIB


@pytest.fixture
def wide(tmp_path, broker_url):
    """A model of many columns, and no worker."""
    made = Installation.make(Settings(home=tmp_path, broker_url=broker_url, queue=f"bulk-{tmp_path.name}"[:60]))
    add_version(made.store, "wide", matrix_signature(FEATURES))
    yield made
    made.close()


def peak(process):
    """Bytes of memory that the process had at the most."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def send(http, pieces, **options):
    return http.post("/v1/models/wide/batches", content=pieces, headers=NDJSON | options)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this system")
def test_memory_does_not_grow_with_the_body_nor_with_the_results(wide, tmp_path):
    with process_of(wide.settings, tmp_path / "gateway.log") as gateway:
        send(gateway.http, PIECE)
        before = peak(gateway.process)
        n = BODY_BYTES // len(PIECE) + 1
        batch = send(gateway.http, (PIECE for _ in range(n))).json()
        assert (batch["accepted"], batch["bytes_read"]) == (100 * n, n * len(PIECE))
        with gateway.http.stream("GET", f"/v1/batches/{batch['id']}/results") as answer:
            assert [json.loads(line)["row"] for line in answer.iter_lines()] == list(range(100 * n))
        assert peak(gateway.process) - before < MAX_GROWTH


class Endless(threading.Thread):
    """Sends rows until the answer comes, or the connection ends."""

    def __init__(self, http):
        super().__init__()
        self.http, self.stopped, self.answer = http, threading.Event(), None
        self.start()

    def run(self):
        try:
            self.answer = send(self.http, self._pieces(), **{"Idempotency-Key": "monday"})
        except httpx.HTTPError as error:
            self.answer = error

    def _pieces(self):
        while not self.stopped.wait(0.01):
            yield PIECE


def under_way(http):
    """The only batch, once some of it was accepted."""
    until(lambda: http.get("/v1/batches").json()["batches"])
    return http.get("/v1/batches").json()["batches"][0]["id"]


def test_sigterm_ends_the_reading_and_another_gateway_goes_on(wide, tmp_path):
    with process_of(wide.settings, tmp_path / "gateway.log") as gateway:
        sender = Endless(gateway.http)
        batch_id = under_way(gateway.http)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(PATIENCE) == 0
        sender.join(PATIENCE)
    now = wide.store.upload(batch_id)
    assert now.state == "incomplete"
    assert "the gateway stops" in now.reason
    assert sender.answer.status_code == 503
    assert (sender.answer.json()["batch"], sender.answer.json()["accepted"]) == (batch_id, now.accepted)
    assert sum(wide.store.upload_counts(batch_id).states.values()) == now.accepted
    with ServedHere(wide) as http:
        n = now.accepted // 100 + 5
        batch = send(http, (PIECE for _ in range(n)), **{"Idempotency-Key": "monday"}).json()
        assert (batch["id"], batch["state"], batch["accepted"]) == (batch_id, "complete", 100 * n)


def test_what_a_killed_gateway_accepted_is_told_as_it_is(wide, tmp_path, monkeypatch):
    with process_of(wide.settings, tmp_path / "gateway.log") as gateway:
        sender = Endless(gateway.http)
        batch_id = under_way(gateway.http)
        gateway.process.kill()
        gateway.process.wait(PATIENCE)
        sender.stopped.set()
        sender.join(PATIENCE)
    assert isinstance(sender.answer, httpx.HTTPError)
    monkeypatch.setattr(uploads, "SILENCE_S", -1.0)
    now = wide.store.upload(batch_id)
    assert now.state == "incomplete"
    ids = now.upload.ids
    known = wide.store.states([ids.at(number) for number in range(now.accepted + 1_000)])
    assert set(known) == {ids.at(number) for number in range(now.accepted)}
