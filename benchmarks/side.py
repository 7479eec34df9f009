"""The two sides of a measurement: inferq, and the hand-written task. Each has its worker on the same broker and store.

Both workers stay up for all measurements, so that starting and loading are on nobody's bill; the one that is not
measured is frozen, and both are while a backlog is being enqueued.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import joblib
import redis
import sqlalchemy as sa

from benchmarks import models
from benchmarks.servers import Broker, Database
from inferq import Client
from inferq.options import check_options
from inferq_core.messages import group
from inferq_core.settings import Settings
from inferq_core.store.records import PendingRef
from inferq_models import register

PROCESSES = 2
START_SECONDS = 120
STALL_SECONDS = 240
LOOK_SECONDS = 0.02
# Jobs that one transaction of `enqueue` accepts.
CHUNK = 1000
_DEFAULTS = {
    "version": None,
    "method": "predict",
    "priority": "normal",
    "deadline": None,
    "routing_key": None,
    "idempotency_key": None,
    "metadata": None,
}


class Workers:
    """Processes in sessions of their own, with what they start."""

    def __init__(self, folder: Path, commands, environment):
        self._processes = []
        for number, command in enumerate(commands):
            with (folder / f"{Path(command[-1]).name}-{number}.log").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", *command],
                    env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._processes.append(process)
        self._frozen = False

    @property
    def pids(self):
        return [process.pid for process in self._processes]

    def require_alive(self):
        if any(process.poll() is not None for process in self._processes):
            raise SystemExit("a worker of the benchmark ended by itself")

    def freeze(self, database: sa.Engine):
        """Stop them where they are, but not inside a transaction: that would hold SQLite's only lock."""
        while not self._frozen:
            self._signal(signal.SIGSTOP)
            self._frozen = True
            if database.dialect.name == "sqlite" and _is_locked(database):
                self.thaw()
                time.sleep(LOOK_SECONDS)

    def thaw(self):
        self._signal(signal.SIGCONT)
        self._frozen = False

    def stop(self):
        self.thaw()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

    def _signal(self, number):
        for process in self._processes:
            os.killpg(process.pid, number)


def _is_locked(database: sa.Engine) -> bool:
    connection = database.raw_connection()
    try:
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sa.exc.OperationalError:
        return True
    except Exception as error:  # sqlite3's own, through the raw connection
        if "locked" in str(error):
            return True
        raise
    finally:
        connection.close()
    return False


class Ours:
    name = "inferq"

    def __init__(self, folder: Path, broker: str, database: Database, *, with_worker: bool):
        self.settings = Settings(
            home=folder / "inferq", broker_url=broker, store_url=database.url, concurrency=PROCESSES, log_level="ERROR"
        )
        served = {**dict.fromkeys(models.fitted(), "sklearn"), models.RF_ONNX: "onnx"}
        for name, runtime in served.items():
            model = models.fitted()[models.RF if name == models.RF_ONNX else name]
            register(name, model, models.rows()[:100], settings=self.settings, runtime=runtime)
        self._names = list(served)
        self.client = Client(self.settings)
        self._store = self.client._store  # a backlog is made faster than a client may
        self._engine = sa.create_engine(database.url)
        commands = [["inferq_workers", "worker"], ["inferq_workers", "keeper"]] if with_worker else []
        self.workers = Workers(folder, commands, self.settings.environment())

    def warm(self):
        """Have each pool process load each model."""
        for name in self._names:
            for _ in range(3):
                self.enqueue_many(name, 600)
                self.wait_until_done()

    def enqueue(self, model: str, count: int):
        """`count` jobs of one row, one message each, as separate submits leave them."""
        for accepted, jobs in self._accept(model, count):
            messages = []
            for job in jobs:
                ref = PendingRef(job.id, model, job.queue, job.priority, 1, None, accepted.published_at)
                messages += group([ref], self.client._catalog.limits, self._store.store_id)
            self.client._publisher.publish(messages)

    def accept(self, model: str, count: int) -> list[str]:
        """Ids of `count` jobs of one row that are in the store, and of which no worker is told."""
        return [job.id for _, jobs in self._accept(model, count) for job in jobs]

    def _accept(self, model: str, count: int):
        rows = models.rows()
        options = check_options(**_DEFAULTS)
        for start in range(0, count, CHUNK):
            numbers = range(start, min(start + CHUNK, count))
            jobs = [self.client._prepare(model, rows[number % len(rows)][None, :], options) for number in numbers]
            yield self._store.accept(jobs), jobs

    def enqueue_many(self, model: str, count: int):
        """`count` jobs of one row with `submit_many`."""
        rows = models.rows()
        self.client.submit_many(model, (rows[number % len(rows)] for number in range(count)))

    def wait_until_done(self):
        left = sa.text("SELECT 1 FROM pending LIMIT 1")
        with self._engine.connect() as connection:

            def done():
                found = connection.execute(left).scalar()
                connection.rollback()
                return found is None

            _wait_until(done, self.workers)

    def finished_since(self, at: float) -> tuple[int, float]:
        """How many results were written since, and when the last one was."""
        statement = sa.text("SELECT count(*), max(completed_at) FROM results WHERE completed_at > :at")
        with self._engine.connect() as connection:
            return tuple(connection.execute(statement, {"at": at}).one())

    def freeze(self):
        self.workers.freeze(self._engine)

    def close(self):
        self.workers.stop()
        self.client.close()
        self._engine.dispose()


class Theirs:
    name = "hand-written"

    def __init__(self, folder: Path, broker: str, database: Database, *, with_worker: bool):
        self.saved = saved = folder / "handwritten"
        saved.mkdir()
        for name, model in models.fitted().items():
            joblib.dump(model, saved / f"{name}.joblib")
        # On SQLite a file of its own: neither side shall wait for the other's lock.
        url = f"sqlite:///{folder / 'handwritten.db'}" if database.backend == "sqlite" else database.url
        environment = {"BENCH_BROKER": broker, "BENCH_STORE": url, "BENCH_MODELS": str(saved)}
        os.environ.update(environment)
        from benchmarks import handwritten

        self.tasks = handwritten
        handwritten.app.conf.update(broker_url=broker, result_backend=broker)
        self._engine = sa.create_engine(url)
        handwritten.metadata.create_all(self._engine)
        self._redis = redis.Redis.from_url(broker)
        command = ["celery", "-A", "benchmarks.handwritten", "worker", "-c", str(PROCESSES), "-l", "ERROR"]
        self.workers = Workers(folder, [command] if with_worker else [], environment)

    def warm(self):
        for name in models.fitted():
            self.enqueue(name, 20)
        self.wait_until_done()

    def enqueue(self, model: str, count: int):
        rows = models.rows()
        with self.tasks.app.connection_for_write() as connection:
            for number in range(count):
                self.tasks.predict.apply_async((model, rows[number % len(rows)].tolist()), connection=connection)

    def wait_until_done(self):
        _wait_until(lambda: not self._redis.llen("celery") and not self._redis.hlen("unacked"), self.workers)

    def finished_since(self, at: float) -> tuple[int, float]:
        statement = sa.text("SELECT count(*), max(done_at) FROM handwritten_results WHERE done_at > :at")
        with self._engine.connect() as connection:
            return tuple(connection.execute(statement, {"at": at}).one())

    def freeze(self):
        self.workers.freeze(self._engine)

    def close(self):
        self.workers.stop()
        self._redis.close()
        self._engine.dispose()


class Arena:
    """Both sides on one broker and one database."""

    def __init__(self, folder: Path, broker: Broker, database: Database, *, with_workers: bool):
        self.database = database
        self.broker = broker
        broker.client.flushall()
        self.ours = Ours(folder, self.broker.url(0), database, with_worker=with_workers)
        self.theirs = Theirs(folder, self.broker.url(1), database, with_worker=with_workers)
        if with_workers:
            self.ours.warm()
            self.theirs.warm()

    @property
    def servers(self) -> list[int]:
        return [self.broker.pid, *self.database.server]

    def freeze(self):
        self.ours.freeze()
        self.theirs.freeze()

    def close(self):
        self.ours.close()
        self.theirs.close()


@contextmanager
def arena(folder: Path, broker: Broker, database: Database, *, with_workers: bool):
    opened = Arena(folder, broker, database, with_workers=with_workers)
    try:
        yield opened
    finally:
        opened.close()


def _wait_until(done, workers: Workers):
    deadline = time.monotonic() + STALL_SECONDS
    while not done():
        workers.require_alive()
        if time.monotonic() > deadline:
            raise SystemExit(f"the benchmark stalled for {STALL_SECONDS} s")
        time.sleep(LOOK_SECONDS)
