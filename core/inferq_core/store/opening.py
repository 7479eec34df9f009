"""Opening a store: the schema must be there, and a SQLite file belongs to one host."""

from __future__ import annotations

import importlib
import socket
from pathlib import Path

from sqlalchemy import Connection, inspect, select, text

from inferq_core.errors import SchemaOutdated, StoreMismatch
from inferq_core.settings import Settings
from inferq_core.store.engine import Database
from inferq_core.store.tables import SCHEMA_REVISION, meta
from inferq_core.store.translation import UPGRADE_HINT

_MACHINE_ID = Path("/etc/machine-id")


def open_database(settings: Settings) -> Database:
    """The database of `settings.store`.

    SQLite: made and migrated here when it is new or outdated, the embedded default. PostgreSQL: connected at the first
    use, and refused then with SchemaOutdated until somebody ran `inferq db upgrade`.
    Raises SettingsError, StoreMismatch, StoreUnavailable.
    """
    database = Database(settings.store)
    if not database.is_sqlite:
        database.check_first(lambda connection: _require_schema(connection, database.shown))
        return database
    if settings.store_url is None:
        settings.make_home()
    database.read(lambda connection: require_host(connection, database.shown))
    if database.read(is_outdated):
        # By name: inferq_core imports nothing that is built on it.
        importlib.import_module("inferq_migrations").upgrade(settings.store)
    return database


def is_outdated(connection: Connection) -> bool:
    """Migrations are missing. A database newer than this program is no fault: migrations keep the last one running."""
    revision = schema_revision(connection)
    return revision is None or int(revision) < int(SCHEMA_REVISION)


def schema_revision(connection: Connection) -> str | None:
    """The newest migration that the database has; None when it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def host_identity() -> str:
    """This host, the same after a restart: the machine id where there is one, else the name."""
    try:
        machine_id = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        machine_id = ""
    return machine_id or socket.gethostname()


def require_host(connection: Connection, shown_url: str) -> None:
    """Raise StoreMismatch when another host uses this SQLite file: their locks do not reach each other."""
    if not inspect(connection).has_table(meta.name):
        return
    host = connection.scalar(select(meta.c.value).where(meta.c.key == "host"))
    if host is not None and host != host_identity():
        raise StoreMismatch(
            f"{shown_url} belongs to host {host!r}, and this is {host_identity()!r}: SQLite serves one host, use "
            "PostgreSQL for several. If the file was moved here for good, `inferq db upgrade` takes it over"
        )


def _require_schema(connection: Connection, shown_url: str) -> None:
    if is_outdated(connection):
        raise SchemaOutdated(f"{shown_url} lacks migrations: {UPGRADE_HINT}")
