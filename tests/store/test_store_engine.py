"""Connections: what fails is one clear error without a password, and a fork hurts nobody."""

import os
import sqlite3
import threading

import psutil
import pytest
from given import LOG, accepted, claimed, new_job, succeeded
from processes import in_threads, opened
from sqlalchemy import event, text

from inferq_core.errors import SettingsError, StoreUnavailable
from inferq_core.ids import new_batch_id
from inferq_core.settings import load_settings
from inferq_core.states import State
from inferq_core.store import Store, open_store, sqlite_connections
from inferq_core.store.engine import Database
from inferq_core.store.sql import read_clock


def test_the_store_is_what_the_contract_says(store):
    checked_by_mypy: Store = store
    assert checked_by_mypy.store_id


def test_the_clock_is_the_databases_and_has_fractions(store):
    times = [store._database.read(read_clock) for _ in range(20)]
    assert times == sorted(times)
    assert any(time % 1 for time in times)
    assert abs(times[0] - store.accept([new_job()]).published_at) < 5


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite://u:secret@h",
        "sqlite:///:memory:",
        "mysql://u:secret@h/d",
        "postgresql+asyncpg://u:secret@h/d",
        "nonsense",
    ],
)
def test_a_database_that_is_not_supported_is_refused(url):
    with pytest.raises(SettingsError, match="INFERQ_STORE_URL") as caught:
        open_store(load_settings(store_url=url))
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_unavailable_and_its_password_stays_secret():
    store = open_store(load_settings(store_url="postgresql://someone:secret@127.0.0.1:1/inferq"))
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1") as caught:
        store.accept([new_job()])
    shown = f"{caught.value} {caught.value.__cause__}"
    assert "secret" not in shown
    assert "someone:***" in str(caught.value)


def test_a_database_that_does_not_exist_is_unavailable(postgres_url):
    store = open_store(load_settings(store_url=f"{postgres_url}_missing"))
    with pytest.raises(StoreUnavailable, match="does not exist"):
        store.counts()


def test_connections_that_the_server_cut_are_replaced(migrated_postgres_url):
    store = opened(migrated_postgres_url)
    (job_id,) = accepted(store)
    _cut_connections(migrated_postgres_url)
    assert store.state(job_id) is State.QUEUED
    store.close()


def test_a_connection_cut_inside_a_transaction_is_unavailable_and_undoes_it(migrated_postgres_url):
    store = opened(migrated_postgres_url)
    batch_id, ids = claimed(store)

    def work(connection):
        connection.execute(text("DELETE FROM pending"))
        _cut_connections(migrated_postgres_url)
        connection.execute(text("SELECT 1"))

    with pytest.raises(StoreUnavailable):
        store._database.write(work)
    assert store.complete(batch_id, [succeeded(ids[0])], LOG).ids == set(ids)
    store.close()


def _cut_connections(url):
    database = Database(url)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    database.write(lambda connection: connection.execute(text(f"{cut} AND pid <> pg_backend_pid()")).all())
    database.close()


def test_deadlocks_are_tried_again(migrated_postgres_url):
    """Two transactions lock two rows in opposite order; both end well."""
    store = opened(migrated_postgres_url)
    ids = accepted(store, 2)
    met = threading.Barrier(2, timeout=60)
    tries = []

    def lock_both(first, second):
        def work(connection):
            tries.append(first)
            connection.execute(text("SELECT 1 FROM pending WHERE id = :id FOR UPDATE"), {"id": first}).all()
            if len(tries) <= 2:
                met.wait()
            connection.execute(text("SELECT 1 FROM pending WHERE id = :id FOR UPDATE"), {"id": second}).all()

        store._database.write(work)

    in_threads(lock_both, [ids, ids[::-1]])
    assert len(tries) == 3
    store.close()


def test_a_sqlite_file_that_stays_locked_is_unavailable(sqlite_url, monkeypatch):
    monkeypatch.setattr(sqlite_connections, "BUSY_TIMEOUT_S", 0.05)
    store = opened(sqlite_url)
    with_lock = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    with_lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.accept([new_job()])
    assert store.counts() == {}  # readers never wait
    with_lock.execute("ROLLBACK")
    with_lock.close()
    accepted(store)
    store.close()


def test_what_is_durable_is_synced_on_sqlite(sqlite_url):
    store = opened(sqlite_url)
    seen = {}

    def look(name, *, durable):
        def work(connection):
            seen[name] = connection.scalar(text("PRAGMA synchronous"))

        store._database.write(work, durable=durable)

    look("claim", durable=False)
    look("accept", durable=True)
    look("claim again", durable=False)
    assert seen == {"claim": 1, "accept": 2, "claim again": 1}
    assert store._database.read(lambda connection: connection.scalar(text("PRAGMA journal_mode"))) == "wal"
    store.close()


def test_a_claim_waits_for_no_disk_on_postgresql(migrated_postgres_url):
    store = opened(migrated_postgres_url)
    ids = accepted(store, 3)
    sent = []
    event.listen(store._database.engine(), "before_cursor_execute", lambda *a: sent.append(a[2]))
    batch_id = new_batch_id()
    store.claim(batch_id, ids, worker="w", lease=60)
    assert len(sent) == 1
    assert "set_config('synchronous_commit', 'off', true)" in sent[0]
    sent.clear()
    store.complete(batch_id, [succeeded(id_) for id_ in ids], LOG)
    assert len(sent) == 1
    assert not any("synchronous_commit" in statement for statement in sent)
    store.close()


@pytest.mark.parametrize("n", [1, 500])
def test_the_number_of_statements_does_not_depend_on_the_number_of_jobs(store, n):
    sent = []
    event.listen(store._database.engine(), "before_cursor_execute", lambda *a: sent.append((a[2], a[5])))
    batch_id, ids = claimed(store, n)
    store.complete(batch_id, [succeeded(id_) for id_ in ids], LOG)
    assert len(sent) <= 20


def test_a_forked_child_uses_connections_of_its_own(store):
    ids = accepted(store, 2)
    mine = store._database.engine()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            batch_id = new_batch_id()
            claim = store.claim(batch_id, ids, worker="child", lease=60)
            store.complete(batch_id, [succeeded(job.id) for job in claim.jobs], LOG)
            code = 0 if store._database.engine() is not mine and len(claim.jobs) == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert set(store.states(ids).values()) == {State.SUCCEEDED}
    accepted(store)


def test_sqlite_has_no_connection_open_across_a_fork(sqlite_url):
    """The child would rely on file locks that only its parent has."""
    store = opened(sqlite_url)
    accepted(store)
    assert _open_files(sqlite_url) > 0
    child = os.fork()
    if child == 0:
        os._exit(0 if _open_files(sqlite_url) == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    accepted(store)
    store.close()


def _open_files(url):
    path = url.removeprefix("sqlite:///")
    return sum(file.path.startswith(path) for file in psutil.Process().open_files())


def test_a_closed_store_opens_again_when_it_is_used(store):
    (job_id,) = accepted(store)
    store.close()
    store.close()
    assert store.state(job_id) is State.QUEUED
