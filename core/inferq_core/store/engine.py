"""Connections and transactions: what the two databases need to keep the store's promises."""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache, partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from inferq_core.errors import InvalidInput, SettingsError, StoreUnavailable
from inferq_core.settings import redact
from inferq_core.store.sqlite_connections import WRITE, set_pragma, set_synchronous, sqlite_engine, take_turn
from inferq_core.store.translation import driver_error, is_conflict, plain_error, translate

T = TypeVar("T")
Given = TypeVar("Given")

# Instead of a word that begins a transaction: each statement is one, and sees one state.
AUTOCOMMIT = "AUTOCOMMIT"
# Of a transaction of several statements on PostgreSQL: each sees what was committed before it began.
READ_COMMITTED = "READ COMMITTED"

CONNECT_TIMEOUT_S = 10
# Deadlocks and serialization failures of PostgreSQL end one of the two transactions; the next try mostly succeeds.
CONFLICT_TRIES = 5
CONFLICT_PAUSE_S = 0.02

# Of a forked parent. Never closed here, nor garbage collected, which would close them: they are not ours.
_inherited: list[Engine] = []
_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class Database:
    """One database: an engine per process, made at the first use."""

    def __init__(self, url: str) -> None:
        """Check `url` and connect to nothing. Raises SettingsError for a database that is not supported."""
        self._url = parse_url(url)
        self.shown = redact(url)
        self.dialect = self._url.get_backend_name()
        self._on_first_use: Callable[[Connection], None] | None = None
        self._engine: Engine | None = None
        self._pid = 0
        _watch_forks(self)

    @property
    def is_sqlite(self) -> bool:
        return self.dialect == "sqlite"

    def check_first(self, check: Callable[[Connection], None]) -> None:
        """Run `check` once in each process, before the first transaction."""
        self._on_first_use = check

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that writes nothing. SQLite: all its statements see one state."""
        begin = "BEGIN" if self.is_sqlite else AUTOCOMMIT
        return self._run(work, partial(self._transaction, begin=begin, synchronous=None))

    def write(self, work: Callable[[Connection], T], *, durable: bool = True, single: bool = False) -> T:
        """Run `work` in one transaction and commit it. `work` may run again after a conflict: keep it free of effects.

        Not durable: a loss of power may undo it, a loss of the process does not. Single: on PostgreSQL `work` writes
        with its first statement only, which is a transaction by itself and takes one trip to the server.
        """
        begin = AUTOCOMMIT if single and not self.is_sqlite else WRITE
        synchronous = "FULL" if durable else "NORMAL"
        return self._run(work, partial(self._transaction, begin=begin, synchronous=synchronous))

    def write_plainly(self, work: Callable[[Any], T]) -> T:
        """`write`, durable and single, without SQLAlchemy's layers: for the write that an application waits for.

        `work` gets the driver's cursor; on SQLite its rows are `sqlite3.Row`.
        """
        return self._run(work, self._plain_sqlite if self.is_sqlite else self._plain_postgresql)

    def close(self) -> None:
        """Close the connections of this process. The next use opens new ones."""
        engine, self._engine = self._engine, None
        if engine is not None and self._pid == os.getpid():
            engine.dispose()

    def engine(self) -> Engine:
        """The engine of this process."""
        if self._engine is not None and self._pid == os.getpid():
            return self._engine
        if self._engine is not None:
            _inherited.append(self._engine)
        engine = sqlite_engine(self._url) if self.is_sqlite else _postgresql_engine(self._url)
        if self._on_first_use is not None:
            try:
                with self._transaction(engine, begin="BEGIN", synchronous=None) as connection:
                    self._on_first_use(connection)
            except BaseException:
                engine.dispose()
                raise
        self._engine, self._pid = engine, os.getpid()
        return engine

    def _run(self, work: Callable[[Given], T], transaction: Callable[[Engine], AbstractContextManager[Given]]) -> T:
        tries = 0
        while True:
            tries += 1
            worked = False
            try:
                with transaction(self.engine()) as given:
                    result = work(given)
                    worked = True
            except StoreUnavailable as error:
                # A server that was restarted costs nobody an error: its old connections are all dropped by now. Whether
                # a commit that failed was done is for the caller to find out.
                if tries > 1 or worked or not _is_stale(error.__cause__):
                    raise
            except DBAPIError as error:
                if not is_conflict(error):
                    raise
                if tries >= CONFLICT_TRIES:
                    raise StoreUnavailable(
                        f"{self.shown}: {tries} tries met conflicting transactions. Try again later"
                    ) from error
                time.sleep(CONFLICT_PAUSE_S * tries)
            else:
                return result

    @contextmanager
    def _transaction(self, engine: Engine, *, begin: str, synchronous: str | None) -> Iterator[Connection]:
        with self._errors(), engine.connect() as connection:
            if self.is_sqlite:
                if synchronous is not None:
                    set_synchronous(connection, synchronous)
                connection = connection.execution_options(inferq_begin=begin)  # noqa: PLW2901
            elif begin != AUTOCOMMIT:
                connection = connection.execution_options(isolation_level=READ_COMMITTED)  # noqa: PLW2901
            with connection.begin():
                yield connection

    @contextmanager
    def _plain_sqlite(self, engine: Engine) -> Iterator[Any]:
        with self._errors(), closing(engine.raw_connection()) as pooled:
            cursor: Any = pooled.cursor()
            cursor.row_factory = sqlite3.Row
            set_pragma(pooled.info, cursor, "synchronous", "FULL")
            take_turn(pooled.info, cursor)
            try:
                yield cursor
            except BaseException:
                pooled.rollback()
                raise
            pooled.commit()

    @contextmanager
    def _plain_postgresql(self, engine: Engine) -> Iterator[Any]:
        driver: Any = engine.dialect.dbapi
        with self._errors():
            pooled = None
            try:
                pooled = engine.raw_connection()
                yield pooled.cursor()
            except driver.Error as error:
                lost = pooled is not None and engine.dialect.is_disconnect(error, pooled.driver_connection, None)
                if pooled is not None and lost:
                    pooled.invalidate(error)
                    engine.dispose()  # what the others were connected to is gone as well
                raise driver_error(error, engine.dialect, lost=lost) from error
            finally:
                if pooled is not None:
                    pooled.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """The drivers' errors as the store's; those that are faults of the program, or conflicts, pass through."""
        try:
            yield
        except PoolTimeout as error:
            raise StoreUnavailable(f"{self.shown}: all connections of this process stayed busy") from error
        except UnicodeEncodeError as error:
            raise InvalidInput(f"a text cannot be stored: {error}") from error
        except sqlite3.Error as error:
            raise self._translated(plain_error(error)) from error
        except DBAPIError as error:
            translated = self._translated(error)
            if translated is error:
                raise
            raise translated from error

    def _translated(self, error: DBAPIError) -> Exception:
        return translate(error, self.shown) or error


def _is_stale(error: BaseException | None) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def parse_url(text: str) -> URL:
    """The URL of a database that inferq supports. Raises SettingsError, without the password, for any other."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(f"INFERQ_STORE_URL={redact(text)} is no URL: give {_SUPPORTED}") from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise SettingsError(f"INFERQ_STORE_URL={redact(text)}: {url.drivername} is not supported. Give {_SUPPORTED}")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise SettingsError(f"INFERQ_STORE_URL={redact(text)}: several processes share the store, so it must be a file")
    return url


_SUPPORTED = "sqlite:////path/to/file.db or postgresql+psycopg://user@host/name"


def _postgresql_engine(url: URL) -> Engine:
    try:
        return create_engine(
            url,
            isolation_level=AUTOCOMMIT,  # most transactions are one statement; the others say so
            hide_parameters=True,  # inputs of jobs have no place in error messages
            connect_args={} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT_S},
        )
    except ModuleNotFoundError as error:
        message = f"INFERQ_STORE_URL names PostgreSQL and {error.name} is missing: install inferq[postgres]"
        raise SettingsError(message) from None


def _watch_forks(database: Database) -> None:
    _databases.add(database)
    _register_fork_hook()


@cache
def _register_fork_hook() -> None:
    os.register_at_fork(before=_close_sqlite_before_fork)


def _close_sqlite_before_fork() -> None:
    """SQLite must not have connections open across a fork: the child would rely on file locks that only its parent has.

    See https://www.sqlite.org/howtocorrupt.html, section 2.6. Idle connections close here; a thread that is inside a
    transaction while another one forks is the caller's mistake.
    """
    for database in list(_databases):
        if database.is_sqlite:
            database.close()
