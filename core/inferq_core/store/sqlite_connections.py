"""Connections to SQLite, and whose turn it is to write.

Python's sqlite3 opens transactions by its own rules (late, and never for reads); they are switched off here and each
transaction begins as it is meant: `BEGIN IMMEDIATE` to write, `BEGIN` to read one consistent state.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from inferq_core.errors import SettingsError
from inferq_core.store.translation import is_busy, plain_error

MINIMUM = (3, 35)
WRITE = "BEGIN IMMEDIATE"
# Writers of SQLite take turns; a turn is milliseconds. Only a stuck process lets this run out.
BUSY_TIMEOUT_S = 30.0
BUSY_TIMEOUT_MS = round(BUSY_TIMEOUT_S * 1000)
# Seconds between two looks at whether it is one's turn to write.
TURN_LOOK_S = 0.0003


def sqlite_engine(url: URL) -> Engine:
    if sqlite3.sqlite_version_info < MINIMUM:
        raise SettingsError(
            f"this Python has SQLite {sqlite3.sqlite_version}, and the store needs 3.35 (RETURNING): take a newer one, "
            "or PostgreSQL"
        )
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA foreign_keys=ON")
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    begin = connection.get_execution_options().get("inferq_begin", WRITE)
    cursor = connection.connection.cursor()
    try:
        if begin == WRITE:
            take_turn(connection.info, cursor)
        else:
            set_pragma(connection.info, cursor, "busy_timeout", BUSY_TIMEOUT_MS)
            cursor.execute(begin)
    except sqlite3.Error as error:
        raise plain_error(error) from error
    finally:
        cursor.close()


def take_turn(info: dict[Any, Any], cursor: Any) -> None:
    """Begin to write as soon as the writer before has ended. Raises sqlite3.Error.

    SQLite's own way of waiting sleeps longer and longer, up to 100 ms, between two looks: with two busy writers the
    lock is free for a good part of the time, and the unlucky one starves.
    """
    give_up = time.monotonic() + BUSY_TIMEOUT_S
    set_pragma(info, cursor, "busy_timeout", 0)
    while True:
        try:
            cursor.execute(WRITE)
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(TURN_LOOK_S)
        else:
            return


def set_synchronous(connection: Connection, level: str) -> None:
    """Has no effect inside a transaction, so it goes to the driver before one begins."""
    cursor = connection.connection.cursor()
    try:
        set_pragma(connection.info, cursor, "synchronous", level)
    finally:
        cursor.close()


def set_pragma(info: dict[Any, Any], cursor: Any, pragma: str, value: str | int) -> None:
    """Have the connection whose `info` it is so, if it is not: a statement costs more than half of a small insert."""
    if info.get(pragma) != value:
        cursor.execute(f"PRAGMA {pragma}={value}")
        info[pragma] = value
