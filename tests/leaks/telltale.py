"""A system whose passwords can be recognised wherever they turn up, and everything that it tells."""

import base64
import logging
import traceback
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest
from cluster import PostgresCluster
from harness import RedisServer, System, free_port
from sqlalchemy import select

from inferq_core.store.tables import metadata

# What is looked for: a part of each password that no encoding changes.
CORES = {
    name: f"hush-{name}-7c41e9"
    for name in ("broker", "store", "flower", "artifacts", "sentinel", "wrong-broker", "wrong-store", "malformed")
}
# As people choose them: with characters that URLs must encode.
PASSWORDS = {name: f"{core}@/:%" for name, core in CORES.items()}
USER = "anna"
FLOWER_AUTH = f"{USER}:{PASSWORDS['flower']}"


def leaks(told):
    """(place, whose password) for each password that a text, by its place, has in it."""
    forms = {**CORES, "flower, encoded": base64.b64encode(FLOWER_AUTH.encode()).decode()}
    return sorted((place, name) for place, text in told.items() for name, form in forms.items() if form in text)


def encoded(name):
    return quote(PASSWORDS[name], safe="")


class GuardedRedis(RedisServer):
    """Has a user with a password; without one, for the test itself, it can be asked as well."""

    def __init__(self, folder, binary):
        users = folder / "users.acl"
        users.write_text(f"user default on nopass ~* &* +@all\nuser inferq on >{PASSWORDS['broker']} ~* &* +@all\n")
        super().__init__(folder, binary, "--aclfile", str(users))
        self.url = self.with_password("broker")

    def with_password(self, name):
        return f"redis://inferq:{encoded(name)}@127.0.0.1:{self.port}/0"

    def kill(self):
        self.process.kill()
        self.process.wait(20)

    def holds(self):
        """What lies in it, by key."""
        readers = {
            b"list": lambda key: self.client.lrange(key, 0, -1),
            b"set": self.client.smembers,
            b"hash": self.client.hgetall,
            b"zset": lambda key: self.client.zrange(key, 0, -1),
            b"string": self.client.get,
        }
        return {f"broker {key}": repr(readers[self.client.type(key)](key)) for key in self.client.scan_iter()}


class GuardedPostgres(PostgresCluster):
    """A database that only a role with a password may open; `postgres` needs none, for the test itself."""

    def __init__(self):
        super().__init__()
        self.administer(
            f"CREATE ROLE inferq LOGIN PASSWORD '{PASSWORDS['store']}'", "CREATE DATABASE inferq OWNER inferq"
        )
        ((folder,),) = self.administer("SHOW data_directory")
        local = "all 127.0.0.1/32"
        (Path(folder) / "pg_hba.conf").write_text(
            f"host all postgres 127.0.0.1/32 trust\nhost all {local} scram-sha-256\n"
        )
        self.administer("SELECT pg_reload_conf()")

    def administer(self, *statements):
        """The answer to the last one."""
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            cursor = None
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def with_password(self, name, port=None):
        return f"postgresql+psycopg://inferq:{encoded(name)}@127.0.0.1:{port or self.port}/inferq"

    def lock_out(self):
        """The password is another one now, and nobody is connected."""
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'inferq'"
        self.administer("ALTER ROLE inferq PASSWORD 'another'", others)

    def let_in(self):
        self.administer(f"ALTER ROLE inferq PASSWORD '{PASSWORDS['store']}'")


class Guarded(System):
    """Everything at its most talkative. What was told is kept by the place where it was."""

    def __init__(self, folder, redis_binary):
        self.database = GuardedPostgres()
        self.told = {}
        super().__init__(
            folder,
            GuardedRedis(folder, redis_binary),
            self.database.with_password("store"),
            flower_auth=FLOWER_AUTH,
            flower_port=free_port(),
            artifacts_url=self.artifacts_with_password("artifacts", folder),
            log_level="DEBUG",
        )

    def artifacts_with_password(self, name, folder):
        return f"file://deploy:{encoded(name)}@localhost{folder}/artifacts"

    def command(self, *words, **environment):
        """`inferq`, with tracebacks."""
        return self._start(
            f"cli-{'-'.join(words)}".replace("/", "_"), ["inferq.cli.main", "--debug", *words], environment
        )

    def tell(self, occasion, error, action):
        """How `action` fails, as it is printed with all that led to it."""
        with pytest.raises(error) as caught:
            action()
        self.told[occasion] = "".join(traceback.format_exception(caught.value))

    def tell_of_pages(self, browser, occasion, paths):
        for path in paths:
            answer = browser.get(path)
            self.told[f"page {path} {occasion}"] = f"{answer.headers} {answer.text}"

    def tell_of_processes(self):
        """What everybody on the machine sees of them."""
        for process in self._processes:
            if process.poll() is None:
                first = psutil.Process(process.pid)
                for one in (first, *first.children(recursive=True)):
                    words = Path(f"/proc/{one.pid}/cmdline").read_bytes() + Path(f"/proc/{one.pid}/comm").read_bytes()
                    self.told[f"process {one.pid} of {process.log.name}"] = words.decode(errors="replace")

    def tell_of_store(self):
        def work(connection):
            return {table: str(connection.execute(select(metadata.tables[table])).all()) for table in metadata.tables}

        tables = self.store._database.read(work)
        self.told.update({f"table {name}": rows for name, rows in tables.items()})

    def tell_of_files(self):
        """All that was written below the folder, the logs of the processes and what Flower keeps included."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name != "users.acl":
                self.told[f"file {path.relative_to(self.folder)}"] = path.read_bytes().decode("latin-1")

    def log_of(self, process):
        return process.log.read_text()

    def close(self):
        super().close()
        self.broker.client.close()
        self.broker.stop()
        self.database.close()


class Ears(logging.Handler):
    """All that is logged in this process, with every field."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.heard = []

    def emit(self, record):
        text = self.format(record)
        self.heard.append(f"{text} {record.__dict__}")

    @contextmanager
    def listening(self):
        root = logging.getLogger()
        level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        try:
            yield self
        finally:
            root.removeHandler(self)
            root.setLevel(level)
