"""From the drivers' errors to inferq's."""

from __future__ import annotations

import re
import sqlite3

from sqlalchemy import Dialect
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError

from inferq_core.errors import InferqError, InvalidInput, SchemaOutdated, StoreForbidden, StoreUnavailable

_DEADLOCK, _SERIALIZATION = "40P01", "40001"
_UNDEFINED_TABLE, _UNDEFINED_COLUMN = "42P01", "42703"
_INSUFFICIENT_PRIVILEGE = "42501"
# Classes of PostgreSQL's SQLSTATE: connection, wrong password, no such database, resources, shutdown, I/O; and a server
# that is a replica (25006), a lock that was not granted in time (55P03).
_UNAVAILABLE = ("08", "28", "3D", "53", "57P", "58", "25006", "55P03")

_SQLITE_OUTDATED = re.compile(r"no such (table|column)|has no column named")
_SQLITE_UNAVAILABLE = re.compile(
    r"database (table )?is locked|unable to open|disk I/O error|readonly database|disk is full|disk image is malformed"
    r"|not a database|locking protocol"
)

_SQLITE = SQLiteDialect_pysqlite(dbapi=sqlite3)
UPGRADE_HINT = "run `inferq db upgrade`"


def is_conflict(error: DBAPIError) -> bool:
    """Two transactions stood in each other's way, and running this one again is the cure."""
    return _sqlstate(error) in (_DEADLOCK, _SERIALIZATION)


def driver_error(error: Exception, dialect: Dialect, *, lost: bool = False) -> DBAPIError:
    """What SQLAlchemy would raise for the driver's error. Lost: so was the connection."""
    base = dialect.dbapi.Error  # type: ignore[union-attr]  # there is a driver, it raised
    wrapped = DBAPIError.instance(None, None, error, base, connection_invalidated=lost, dialect=dialect)
    assert isinstance(wrapped, DBAPIError)
    return wrapped


def plain_error(error: sqlite3.Error) -> DBAPIError:
    """`driver_error` of SQLite."""
    return driver_error(error, _SQLITE)


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Another writer of SQLite holds the lock."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def translate(error: DBAPIError, shown_url: str) -> InferqError | None:
    """The store's error for a driver's, or None when it is a fault of the program. `shown_url` has no password."""
    state, message = _sqlstate(error), str(error.orig).strip()
    if isinstance(error, DataError):
        return InvalidInput(f"a value cannot be stored: {message}")
    if type(error.orig).__module__.startswith("sqlite3"):
        if _SQLITE_OUTDATED.search(message):
            return SchemaOutdated(f"{shown_url}: {message}: {UPGRADE_HINT}")
        return StoreUnavailable(f"{shown_url}: {message}") if _SQLITE_UNAVAILABLE.search(message) else None
    return _translate_postgresql(error, state, message, shown_url)


def _translate_postgresql(error: DBAPIError, state: str | None, message: str, shown_url: str) -> InferqError | None:
    if state in (_UNDEFINED_TABLE, _UNDEFINED_COLUMN):
        return SchemaOutdated(f"{shown_url}: {message.splitlines()[0]}: {UPGRADE_HINT}")
    if state == _INSUFFICIENT_PRIVILEGE:
        return StoreForbidden(
            f"{shown_url}: {message.splitlines()[0]}: its role may not do this, `inferq db roles` prints what each may"
        )
    lost = error.connection_invalidated or (state is None and isinstance(error, OperationalError | InterfaceError))
    if lost or (state or "").startswith(_UNAVAILABLE):
        return StoreUnavailable(f"{shown_url}: {message.splitlines()[0] if message else 'connection lost'}")
    return None


def _sqlstate(error: DBAPIError) -> str | None:
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None
