"""How much is in the store."""

import pytest
from given import accepted, beat, claimed, finished
from sqlalchemy import text

from inferq_core.states import State
from inferq_core.store import stats
from inferq_core.store.tables import SCHEMA_REVISION, metadata


def analysed(store):
    """PostgreSQL estimates from what it saw last."""
    store._database.write(lambda connection: connection.execute(text("ANALYZE")))
    return store.stats()


def rows_of(found):
    return {table.name: table.rows for table in found.tables}


def test_an_empty_store(store):
    found = analysed(store)
    assert (found.schema, found.store_id, found.dialect) == (SCHEMA_REVISION, store.store_id, store._database.dialect)
    assert found.server
    assert found.bytes > 0
    assert rows_of(found).keys() == metadata.tables.keys()
    assert sum(rows for name, rows in rows_of(found).items() if name != "meta") == 0
    assert (set(found.jobs.values()), found.backlog) == ({0}, [])


def test_rows_of_all_partitions_and_jobs_by_state(store):
    finished(store, 3)
    store.cancel(accepted(store, 2))
    waiting = accepted(store, 4, n_rows=5)
    claimed(store, 1, queue="heavy")
    store.beat(beat(), min_interval=0)
    found = analysed(store)
    rows = rows_of(found)
    assert (rows["jobs"], rows["results"], rows["pending"], rows["workers"]) == (10, 5, 5, 1)
    assert {state: n for state, n in found.jobs.items() if n} == {
        State.QUEUED: len(waiting),
        State.RUNNING: 1,
        State.SUCCEEDED: 3,
        State.CANCELLED: 2,
    }
    heavy, predictions = found.backlog
    assert (heavy.queue, heavy.queued_jobs, heavy.running_jobs, heavy.oldest_seconds) == ("heavy", 0, 1, None)
    assert (predictions.queued_jobs, predictions.queued_rows, predictions.running_jobs) == (4, 20, 0)
    assert predictions.oldest_seconds >= 0


def test_a_table_never_analysed_has_an_estimate(store):
    finished(store, 3)
    assert all(table.rows >= 0 for table in store.stats().tables)


def test_sizes(store):
    found = store.stats()
    sizes = {table.name: table.bytes for table in found.tables}
    assert all(size > 0 for size in sizes.values())
    assert sum(sizes.values()) <= found.bytes


def test_a_large_sqlite_file_is_not_read_to_tell_sizes(sqlite_url, monkeypatch, request):
    request.getfixturevalue("sqlite_url")
    monkeypatch.setattr(stats, "SIZED_FILE_BYTES", 0)
    from processes import opened

    store = opened(sqlite_url)
    assert {table.bytes for table in store.stats().tables} == {None}
    store.close()


@pytest.mark.parametrize("deleted", [0, 2])
def test_the_oldest_rows_may_be_gone(store, deleted):
    ids = sorted(finished(store, 5))

    def forget(connection):
        for job_id in ids[:deleted]:
            connection.execute(text(f"DELETE FROM results WHERE id = '{job_id}'"))

    store._database.write(forget)
    assert rows_of(analysed(store))["results"] == 5 - deleted
