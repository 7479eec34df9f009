"""Servers for one run: a broker, and a database (a SQLite file, or one on PostgreSQL that is dropped afterwards)."""

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import redis
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import inferq_migrations
from inferq.local.embedded import server_binary

POSTGRES_URL = os.environ.get("INFERQ_TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A Valkey server on a free port of this machine, keeping its queues in a file as in production."""

    def __init__(self, folder: Path):
        self.port = free_port()
        folder.mkdir()
        options = {"port": self.port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes"}
        command = [
            str(server_binary()),
            *(str(part) for name, value in options.items() for part in (f"--{name}", value)),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port)
        self._wait_until_it_answers()

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def stop(self):
        self.client.close()
        self._process.terminate()
        self._process.wait(30)

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


@dataclass(frozen=True)
class Database:
    backend: str
    url: str
    server: tuple[int, ...]  # pids of the server's first process; none when it is a library, or elsewhere


@contextmanager
def sqlite(folder: Path):
    url = f"sqlite:///{folder / 'inferq.db'}"
    inferq_migrations.upgrade(url)
    yield Database("sqlite", url, ())


@contextmanager
def postgresql(_folder: Path):
    """Raises OperationalError without a server."""
    name = f"inferq_bench_{uuid4().hex[:12]}"
    admin = sa.create_engine(POSTGRES_URL, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    url = sa.make_url(POSTGRES_URL).set(database=name).render_as_string(hide_password=False)
    try:
        inferq_migrations.upgrade(url)
        with admin.connect() as connection:
            backend_pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
            here = psutil.pid_exists(backend_pid) and psutil.Process(backend_pid).name().startswith("postgres")
            server = (psutil.Process(backend_pid).ppid(),) if here else ()
        yield Database("postgresql", url, server)
    finally:
        with admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


BACKENDS = {"sqlite": sqlite, "postgresql": postgresql}
