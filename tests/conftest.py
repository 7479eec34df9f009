"""Databases for every folder of tests: a SQLite file, a PostgreSQL database of their own, a store on either.

PostgreSQL is the server at INFERQ_TEST_POSTGRES_URL, by default one on this machine. Without it the tests that need it
are skipped, with the reason; under CI=true they fail.
"""

import os
from contextlib import contextmanager
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

# Tests run side by side: OpenMP threads would only fight for the cores. Read when scikit-learn is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import inferq_migrations
from inferq_core.settings import load_settings, redact
from inferq_core.store import open_store

DEFAULT_POSTGRES_URL = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"


@pytest.fixture(scope="session")
def postgres_server():
    """URL of a server where databases can be made."""
    url = os.environ.get("INFERQ_TEST_POSTGRES_URL", DEFAULT_POSTGRES_URL)
    try:
        with _administrator(url) as connection:
            connection.execute(text("SELECT 1"))
    except OperationalError as error:
        reason = f"no PostgreSQL at {redact(url)} ({str(error.orig).splitlines()[0]}): set INFERQ_TEST_POSTGRES_URL"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return url


@pytest.fixture
def postgres_url(postgres_server):
    """An empty database, dropped afterwards."""
    with _database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def _migrated_database(postgres_server):
    """A database with the newest schema, which others are copied from: much faster than migrating each."""
    with _database(postgres_server) as url:
        inferq_migrations.upgrade(url)
        yield url


@pytest.fixture
def migrated_postgres_url(postgres_server, _migrated_database):
    """A database with the newest schema and nothing else, dropped afterwards."""
    with _database(postgres_server, template=make_url(_migrated_database).database) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path):
    """A file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'inferq.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request):
    """A URL on either database, ready to be opened."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "migrated_postgres_url")


@pytest.fixture
def store(store_url):
    """An empty store, on SQLite and on PostgreSQL: the same body must pass on both."""
    opened = open_store(load_settings(store_url=store_url))
    yield opened
    opened.close()


@contextmanager
def _administrator(url):
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
    with engine.connect() as connection:
        yield connection


@contextmanager
def _database(server, template="template1"):
    name = f"inferq_test_{uuid4().hex[:12]}"
    with _administrator(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with _administrator(server) as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
