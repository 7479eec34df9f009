"""`jobs` and `results` on PostgreSQL are one table for each week of ids, and a default one for the rest."""

from itertools import pairwise
from uuid import UUID

import pytest
from given import accepted, finished, new_job
from processes import opened
from sqlalchemy import text

from inferq_core.ids import lowest_id
from inferq_core.states import State
from inferq_core.store import partitions
from inferq_core.store.sql import read_clock


@pytest.fixture
def postgres_store(migrated_postgres_url):
    store = opened(migrated_postgres_url)
    yield store
    store.close()


def names(store):
    query = (
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN ('jobs'::regclass, 'results'::regclass)"
    )
    return store._database.read(lambda connection: set(connection.scalars(text(query))))


def home_of(store, table, job_id):
    query = text(f"SELECT tableoid::regclass::text FROM {table} WHERE id = CAST(:id AS uuid)")
    return store._database.read(lambda connection: connection.scalar(query, {"id": job_id}))


def execute(store, statement):
    store._database.write(lambda connection: connection.execute(text(statement)))


def test_this_week_and_the_next_ones_are_there(postgres_store):
    known = names(postgres_store)
    assert len(known) == 2 * (1 + partitions.WINDOWS_AHEAD + 1)
    assert all(map(partitions.is_partition, known))
    postgres_store.prepare_partitions()
    assert names(postgres_store) == known


def test_jobs_and_results_of_today_go_to_this_weeks(postgres_store):
    (job_id,) = finished(postgres_store)
    for table in partitions.PARTITIONED:
        assert home_of(postgres_store, table, job_id).removeprefix(f"{table}_").isdigit()


@pytest.mark.parametrize(
    "job_id", ["2c8d6e3d-18b5-4b35-9f9b-e65c8ca9a7b6", str(UUID(int=0)), str(UUID(int=2**128 - 1))]
)
def test_any_other_id_goes_to_the_default_and_works_the_same(postgres_store, job_id):
    postgres_store.accept([new_job(id=job_id)])
    assert home_of(postgres_store, "jobs", job_id) == "jobs_default"
    assert postgres_store.state(job_id) is State.QUEUED


def test_a_partition_that_is_missing_is_made(postgres_store):
    known = names(postgres_store)
    last = max(name for name in known if name.removeprefix("jobs_").isdigit())
    execute(postgres_store, f"DROP TABLE {last}")
    postgres_store.prepare_partitions()
    assert names(postgres_store) == known


def test_a_week_whose_rows_are_in_the_default_is_skipped(postgres_store):
    week = home_of(postgres_store, "jobs", accepted(postgres_store)[0])
    known = names(postgres_store)
    last = max(name for name in known if name.removeprefix("results_").isdigit())
    execute(postgres_store, f"DROP TABLE {week}")
    execute(postgres_store, f"DROP TABLE {last}")
    (job_id,) = accepted(postgres_store)
    assert home_of(postgres_store, "jobs", job_id) == "jobs_default"

    postgres_store.prepare_partitions()

    assert names(postgres_store) == known - {week}
    assert postgres_store.state(job_id) is State.QUEUED


def test_a_table_that_is_busy_is_left_for_the_next_time(postgres_store, monkeypatch):
    monkeypatch.setattr(partitions, "_LOCK_TIMEOUT", "50ms")
    known = names(postgres_store)
    last = max(name for name in known if name.removeprefix("jobs_").isdigit())
    execute(postgres_store, f"DROP TABLE {last}")

    def while_busy(connection):
        connection.execute(text("LOCK TABLE jobs IN ROW EXCLUSIVE MODE"))
        postgres_store.prepare_partitions()

    postgres_store._database.write(while_busy)
    assert names(postgres_store) == known - {last}
    postgres_store.prepare_partitions()
    assert names(postgres_store) == known


def test_preparing_does_nothing_on_sqlite(sqlite_url):
    store = opened(sqlite_url)
    store.prepare_partitions()
    store.close()


def test_weeks_follow_one_another_without_a_gap(postgres_store):
    now = postgres_store._database.read(read_clock)
    windows = [some for some in partitions._wanted(now) if some[1] == "jobs"]
    for (_, _, lower, upper), (_, _, next_lower, _) in pairwise(windows):
        assert lower < upper == next_lower
    assert windows[0][2] <= lowest_id(now) < windows[0][3]
