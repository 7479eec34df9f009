"""Running alembic on one database, one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, insert, inspect, text

from inferq_core.errors import StoreUnavailable
from inferq_core.store import partitions
from inferq_core.store.engine import Database, parse_url
from inferq_core.store.opening import host_identity
from inferq_core.store.tables import meta, metadata

# Any number that no other program takes: "inferq" on a telephone's keys.
ADVISORY_LOCK = 463377
# For another upgrade to end; then for each table that is changed, while workers use it.
UPGRADE_TIMEOUT, LOCK_TIMEOUT = "120s", "5s"


def upgrade(url: str) -> str:
    """Bring the database to the newest schema and return its revision. Makes the file of a SQLite store.

    On SQLite the store belongs to this host from then on.
    Raises StoreUnavailable, also when a table stays locked for longer than LOCK_TIMEOUT: nothing was changed then.
    """

    def work(connection: Connection) -> None:
        command.upgrade(_config(connection), "head")
        if connection.dialect.name == "sqlite":
            connection.execute(delete(meta).where(meta.c.key == "host"))
            connection.execute(insert(meta).values(key="host", value=host_identity()))
        else:
            partitions.prepare(connection)

    _alone(url, work)
    return head()


def downgrade(url: str, revision: str) -> None:
    """Take the schema back to `revision`; "base" drops everything that inferq made, jobs and results included."""
    _alone(url, lambda connection: command.downgrade(_config(connection), revision))


def check(url: str) -> list[str]:
    """How the database differs from the tables of this program, a line each; empty when they agree."""
    database = Database(url)
    try:
        return database.read(_differences)
    finally:
        database.close()


def head() -> str:
    """The newest revision there is."""
    revision = ScriptDirectory.from_config(_config(None)).get_current_head()
    if revision is None:
        raise RuntimeError("inferq_migrations holds no migration: the installation is broken")
    return revision


def _alone(url: str, work: Callable[[Connection], None]) -> None:
    database = Database(url)

    def locked(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{UPGRADE_TIMEOUT}'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        work(connection)

    try:
        with _file_lock(url):
            database.write(locked)
    finally:
        database.close()


@contextmanager
def _file_lock(url: str) -> Iterator[None]:
    """SQLite: a lock beside the file, because switching it to WAL cannot wait for another process. Else nothing."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        yield
        return
    path = Path(f"{parsed.database}.lock")
    try:
        file = path.open("a")
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {error.strerror}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _config(connection: Connection | None) -> Config:
    config = Config()
    # The parser of ini files takes "%" for the start of a variable.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _differences(connection: Connection) -> list[str]:
    options = {"compare_type": True, "include_object": is_ours}
    context = MigrationContext.configure(connection, opts=options)
    current = context.get_current_revision()
    lines = [] if current == head() else [f"revision is {current or 'none'}, the newest is {head()}"]
    if not inspect(connection).has_table(meta.name):
        return [*lines, "there are no tables of inferq"]
    return [*lines, *(line for change in compare_metadata(context, metadata) for line in _readable(change))]


def is_ours(_: Any, name: str | None, kind: str, *__: Any) -> bool:
    """Alembic's filter: leave out the partitions, which the keeper makes."""
    return kind != "table" or name is None or not partitions.is_partition(name)


def _readable(change: Any) -> Iterator[str]:
    if isinstance(change, list):
        for part in change:
            yield from _readable(part)
        return
    kind, *what = change
    names = (getattr(item, "name", item) for item in what if item is not None and not isinstance(item, dict))
    yield f"{kind}: {' '.join(str(name) for name in names)}"
