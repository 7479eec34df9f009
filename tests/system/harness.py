"""A whole inferq of its own for one test: broker, store, worker and keeper as real processes."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import redis

import inferq_migrations
from inferq import Client
from inferq_core.settings import Settings
from inferq_core.store import open_store


def wait_for(condition, *, timeout, what):
    """The first true value of `condition()`."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.05)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """A Redis of our own on a free port."""

    def __init__(self, folder: Path, binary: str, *options: str):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", *options]
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self):
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

        def answers():
            try:
                return self.client.ping()
            except redis.ConnectionError:
                return False

        wait_for(answers, timeout=20, what="redis")

    def stop(self):
        self.process.send_signal(signal.SIGCONT)  # a test may have failed while it was stopped
        self.process.terminate()
        self.process.wait(20)


class System:
    """Starts and stops the processes; everything ends with `close`."""

    def __init__(self, folder: Path, broker: RedisServer, store_url: str | None, **settings):
        self.folder = folder
        self.broker = broker
        self.settings = Settings(
            home=folder / "home",
            broker_url=broker.url,
            store_url=store_url,
            concurrency=2,
            **{"sweep_interval": 1.0, "lease": 6.0, "orphan_after": 3.0, **settings},
        )
        if store_url is not None:
            inferq_migrations.upgrade(store_url)
        self.client = Client(self.settings)
        self.store = open_store(self.settings)
        self._processes = []

    def start_worker(self, *options, within=(), **environment):
        """`within`: a command that runs another one, `ip netns exec …`."""
        return self._start("worker", ["inferq_workers", "worker", *options], environment, within)

    def start_keeper(self):
        return self._start("keeper", ["inferq_workers", "keeper"], {})

    def start_deliverer(self, **environment):
        return self._start("deliverer", ["inferq_workers", "deliverer"], environment)

    def start_celery(self, *arguments):
        """Celery's own command line."""
        return self._start("celery", ["celery", "-A", "inferq_workers.app", *arguments], {})

    def _start(self, name, module, environment, within=()):
        # the misbehaving models first
        search_path = [str(Path(__file__).parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        log = self.folder / f"{name}-{len(self._processes)}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [*within, sys.executable, "-m", *module],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(search_path),
                    "INFERQ_TEST_WORKER": "1",  # they misbehave here, and not at registration
                    **self.settings.environment(),
                    **environment,
                },
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        process.log = log
        self._processes.append(process)
        return process

    def pool_processes(self, worker):
        """The prediction processes of a worker, once they are all there."""

        def children():
            found = [child for child in psutil.Process(worker.pid).children() if lives(child)]
            return found if len(found) >= self.settings.concurrency else []

        return wait_for(children, timeout=60, what="pool processes")

    def stop(self, process, timeout=60):
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout)

    def kill(self, process):
        process.kill()
        process.wait(20)

    def deaths(self, worker):
        """Pool processes of the worker that ended by a signal or with an exit code of their own, as its log tells."""
        return len(re.findall(r"exited with '(?:signal|exitcode)", worker.log.read_text()))

    def states(self, jobs):
        return self.store.states([job.id for job in jobs])

    def logs(self):
        return "\n".join(f"--- {p.log.name}\n{p.log.read_text()[-4000:]}" for p in self._processes)

    def close(self):
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.client.close()
        self.store.close()


def lives(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the list and the question
        return False


def freeze(system, processes):
    """Suspend the processes, outside their transactions: SQLite has one writer, and a frozen one stops all others."""
    url = system.settings.store
    path = url.removeprefix("sqlite:///") if url.startswith("sqlite") else None
    while True:
        for process in processes:
            process.suspend()
        if path is None or not _locked(path):
            return
        for process in processes:
            process.resume()


def _locked(path):
    probe = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        probe.execute("BEGIN IMMEDIATE")
        probe.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    else:
        return False
    finally:
        probe.close()


@contextmanager
def running(folder, redis_binary, store_url, **settings):
    broker = RedisServer(folder, redis_binary)
    try:
        with running_on(broker, folder, store_url, **settings) as system:
            yield system
    finally:
        broker.stop()


@contextmanager
def running_on(broker, folder, store_url, **settings):
    """A system on a broker that is there; when a test fails, the logs of the processes are shown."""
    system = System(folder, broker, store_url, **settings)
    try:
        yield system
    except BaseException:
        sys.stderr.write(system.logs())
        raise
    finally:
        system.close()
