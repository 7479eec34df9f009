"""Predictions over HTTP: ours through the queue, each durable; theirs in the request, stored nowhere."""

import http.client
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import orjson

from benchmarks.connections import rate, request
from benchmarks.figure import Figure, Pair
from benchmarks.idle import in_turns
from benchmarks.models import LR, RF, rows
from benchmarks.servers import free_port
from benchmarks.side import PROCESSES, START_SECONDS, Arena

CONNECTIONS = 64
# Seconds of a measurement of many connections.
WINDOW = 1.5
SAMPLES = 500
BARS = {"wait": 1.5, "submit": 0.4, "idle": 2.0}
BODY = orjson.dumps({"inputs": rows()[:1].tolist()})


def answered(arena: Arena, pairs: int) -> list[Figure]:
    """With a worker: requests that wait for their prediction, many and one at a time."""
    arena.ours.workers.thaw()
    backend = arena.database.backend
    path, wait = f"/v1/models/{RF}/predictions", "Prefer: wait=30"
    with gateway(arena) as ours, endpoint(arena, processes=PROCESSES) as theirs:
        sides = ((ours, request(ours, path, BODY, wait)), (theirs, request(theirs, f"/predict/{RF}", BODY)))
        for port, sent in sides:  # each of their processes, and ours, meets its first requests
            rate(port, sent, connections=CONNECTIONS, seconds=0.5, expected="200")
        waited = [
            Pair(*(rate(port, sent, connections=CONNECTIONS, seconds=WINDOW, expected="200") for port, sent in sides))
            for _ in range(pairs)
        ]
        idle = _idle(arena, ours, pairs)
    title = f"HTTP, {CONNECTIONS} connections, RF"
    return [
        Figure(f"{title}, Prefer: wait, against predict in the request", backend, "requests/s", BARS["wait"], waited),
        Figure(
            "HTTP, idle, submit to result, LR, p50, against Client", backend, "ms", BARS["idle"], idle, at_most=True
        ),
    ]


def accepted(arena: Arena, pairs: int) -> list[Figure]:
    """Without a worker: requests that only enqueue, against a route that answers with a constant."""
    path = f"/v1/models/{RF}/predictions"
    measured = []
    with gateway(arena) as ours, endpoint(arena, processes=1) as theirs:
        for port in (ours, theirs):
            rate(port, request(port, path, BODY), connections=CONNECTIONS, seconds=0.5, expected="202")
        for _ in range(pairs):
            sides = (
                rate(port, request(port, path, BODY), connections=CONNECTIONS, seconds=WINDOW, expected="202")
                for port in (ours, theirs)
            )
            measured.append(Pair(*sides))
    arena.broker.client.flushall()
    name = f"HTTP, {CONNECTIONS} connections, submit only, against a constant 202"
    return [Figure(name, arena.database.backend, "requests/s", BARS["submit"], measured)]


def _idle(arena: Arena, port: int, pairs: int) -> list[Pair]:
    row = rows()[:1]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Content-Type": "application/json", "Prefer": "wait=30"}

    def over_http():
        connection.request("POST", f"/v1/models/{LR}/predictions", BODY, headers)
        answer = connection.getresponse()
        assert orjson.loads(answer.read())["state"] == "succeeded"

    def in_python():
        arena.ours.client.submit(LR, row).result(timeout=30)

    measured = in_turns(over_http, in_python, pairs, SAMPLES)["p50"]
    connection.close()
    return measured


@contextmanager
def gateway(arena: Arena):
    """`inferq gateway` on a free port, as it comes."""
    settings = {**arena.ours.settings.environment(), "INFERQ_LOG_LEVEL": "INFO"}
    with _process(
        arena, "gateway", [sys.executable, "-m", "inferq.cli.main", "gateway", "--port", "0"], settings
    ) as log:
        yield int(_told(log, r"listening on http://[^:]+:(\d+)/"))


@contextmanager
def endpoint(arena: Arena, *, processes: int):
    """The hand-written endpoint in so many uvicorn processes."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.endpoint:app", "--port", str(port)]
    environment = {"BENCH_MODELS": str(arena.theirs.saved)}
    name = f"endpoint-{processes}"
    with _process(arena, name, [*command, "--workers", str(processes)], environment) as log:
        _told(log, f"(?s)(?:Application startup complete.*){{{processes}}}")
        yield port


@contextmanager
def _process(arena: Arena, name: str, command: list[str], environment: dict[str, str]):
    log: Path = arena.theirs.saved.parent / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **environment, "OMP_NUM_THREADS": "1"}, stdout=out, stderr=out
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(30)


def _told(log: Path, pattern: str) -> str:
    """What the first group of `pattern` matched in the log, once it is there."""
    deadline = time.monotonic() + START_SECONDS
    while (found := re.search(pattern, log.read_text())) is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"a server of the benchmark did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)
    return found[found.re.groups]
