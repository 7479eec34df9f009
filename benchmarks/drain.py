"""How fast a backlog of single-row jobs is drained, one message each, with two processes.

Both sides find the whole backlog waiting when their worker starts. The rate counts the results after the first, between
the first and the last, so that starting a worker and loading the model is on neither side's bill.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import joblib
import sqlalchemy as sa

from benchmarks import handwritten_client
from benchmarks.model import forest
from inferq import Client
from inferq_core.settings import Settings
from inferq_models import register

PROCESSES = 2
START_TIMEOUT = 240


@contextmanager
def worker(command, environment):
    """A worker in the background, stopped warmly at the end."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_until_done(count, expected):
    deadline = time.monotonic() + START_TIMEOUT
    while count() < expected:
        if time.monotonic() > deadline:
            raise SystemExit(f"the benchmark stalled: {count()} of {expected} results after {START_TIMEOUT} s")
        time.sleep(0.1)


def rate(times):
    """Results per second between the first result and the last. `times` in seconds."""
    first, last = min(times), max(times)
    return sum(at > first for at in times) / (last - first)


def theirs(broker: str, folder: Path, jobs: int) -> float:
    """Jobs per second of the hand-written task."""
    model, rows = forest()
    joblib.dump(model, folder / "forest.joblib")
    environment = {
        "BENCH_BROKER": broker,
        "BENCH_STORE": f"sqlite:///{folder / 'handwritten.db'}",
        "BENCH_MODEL": str(folder / "forest.joblib"),
        "OMP_NUM_THREADS": "1",
    }
    engine = sa.create_engine(environment["BENCH_STORE"])
    handwritten_client.prepare(environment, rows, jobs)
    done = sa.text("SELECT done_at FROM results")

    def times():
        with engine.connect() as connection:
            return [row[0] for row in connection.execute(done)]

    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "benchmarks.handwritten",
        "worker",
        "-c",
        str(PROCESSES),
        "-l",
        "ERROR",
    ]
    with worker(command, environment):
        wait_until_done(lambda: len(times()), jobs)
    return rate(times())


def ours(broker: str, folder: Path, jobs: int) -> float:
    """Jobs per second of inferq."""
    model, rows = forest()
    settings = Settings(home=folder / "inferq", broker_url=broker, concurrency=PROCESSES)
    register("forest", model, rows[:100], settings=settings)
    with Client(settings) as client:
        # One job and one message each, as an application under load would submit them.
        submitted = [client.submit("forest", rows[index % len(rows)][None, :]) for index in range(jobs)]
        ids = [job.id for job in submitted]
        engine = sa.create_engine(settings.store)
        count = sa.text("SELECT count(*) FROM results")
        with worker([sys.executable, "-m", "inferq_workers", "worker"], settings.environment()), engine.connect() as db:

            def done():
                number = db.execute(count).scalar_one()
                db.rollback()
                return number

            wait_until_done(done, jobs)
            times = [at for (at,) in db.execute(sa.text("SELECT completed_at FROM results"))]
        assert len(ids) == len(times)
    return rate(times)
