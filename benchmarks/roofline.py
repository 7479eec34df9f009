"""The most that two processes can do: claim, predict and complete in a bare loop, without a queue."""

import os
import subprocess
import sys
import time

import joblib
import numpy as np
import orjson

from benchmarks.models import LR
from benchmarks.side import PROCESSES, Ours, Theirs
from inferq_core.ids import new_batch_id
from inferq_core.settings import load_settings
from inferq_core.states import State
from inferq_core.store import open_store
from inferq_core.store.records import BatchLog, Outcome

BATCH = 512


def rate(ours: Ours, theirs: Theirs, jobs: int) -> float:
    """Jobs per second of LR that waits in the store."""
    ids = ours.accept(LR, jobs)
    environment = {**os.environ, **ours.settings.environment(), "OMP_NUM_THREADS": "1"}
    loops = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.roofline", str(theirs.saved / f"{LR}.joblib")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        for _ in range(PROCESSES)
    ]
    for loop in loops:
        loop.stdout.readline()  # it has loaded
    started = time.perf_counter()
    share = -(-jobs // PROCESSES)
    for number, loop in enumerate(loops):
        loop.stdin.write(orjson.dumps(ids[number * share : (number + 1) * share]) + b"\n")
        loop.stdin.flush()
    if any(loop.wait() for loop in loops):
        raise SystemExit("a bare loop failed")
    return jobs / (time.perf_counter() - started)


def _loop(path: str) -> None:
    model = joblib.load(path)
    model.predict(np.zeros((1, 20)))
    store = open_store(load_settings())
    store.states([])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ids = orjson.loads(sys.stdin.readline())
    for start in range(0, len(ids), BATCH):
        batch_id = new_batch_id()
        claim = store.claim(batch_id, ids[start : start + BATCH], worker="roofline", lease=60)
        rows = np.array([row for job in claim.jobs for row in orjson.loads(job.inputs)])
        labels = model.predict(rows).tolist()
        outcomes = [
            Outcome(id=job.id, state=State.SUCCEEDED, outputs=f"[{label}]", version=1, batch_rows=len(labels))
            for job, label in zip(claim.jobs, labels, strict=True)
        ]
        store.complete(batch_id, outcomes, BatchLog(len(labels), len(labels), 0.0))


if __name__ == "__main__":
    _loop(sys.argv[1])
