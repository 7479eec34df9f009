"""Up, down and check, on both databases; the same schema as the tables say."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from given import accepted
from processes import in_processes, opened, store_id
from sqlalchemy import inspect, select, text

import inferq_migrations
from inferq_core.errors import SchemaOutdated, StoreMismatch, StoreUnavailable
from inferq_core.settings import load_settings
from inferq_core.store import open_store, opening, partitions
from inferq_core.store.engine import Database
from inferq_core.store.records import Runtime
from inferq_core.store.tables import SCHEMA_REVISION, meta, metadata
from inferq_migrations.runner import head


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request):
    """A database without any table."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture
def database(empty_url):
    used = Database(empty_url)
    yield used
    used.close()


def table_names(database):
    names = database.read(lambda connection: set(inspect(connection).get_table_names()))
    return {name for name in names if not partitions.is_partition(name)}


def execute(database, statement):
    database.write(lambda connection: connection.execute(text(statement)))


def test_the_program_knows_the_newest_revision():
    assert head() == SCHEMA_REVISION


def test_up_check_down_up(empty_url, database):
    assert inferq_migrations.check(empty_url) == [
        f"revision is none, the newest is {SCHEMA_REVISION}",
        "there are no tables of inferq",
    ]
    assert inferq_migrations.upgrade(empty_url) == head()
    assert table_names(database) == {*metadata.tables, "alembic_version"}
    assert inferq_migrations.check(empty_url) == []
    inferq_migrations.downgrade(empty_url, "base")
    assert table_names(database) <= {"alembic_version"}
    inferq_migrations.upgrade(empty_url)
    assert inferq_migrations.check(empty_url) == []


def test_upgrading_again_keeps_everything(empty_url):
    inferq_migrations.upgrade(empty_url)
    first = opened(empty_url)
    ids = accepted(first, 3)
    assert inferq_migrations.upgrade(empty_url) == head()
    again = opened(empty_url)
    assert again.store_id == first.store_id
    assert again.states(ids) == first.states(ids)
    for store in (first, again):
        store.close()


def test_each_store_has_an_id_of_its_own(empty_url):
    inferq_migrations.upgrade(empty_url)
    first = store_id(empty_url)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first)
    assert store_id(empty_url) == first
    inferq_migrations.downgrade(empty_url, "base")
    inferq_migrations.upgrade(empty_url)
    assert store_id(empty_url) != first


def test_versions_from_before_runtimes_are_served_by_sklearn(empty_url, database):
    inferq_migrations.upgrade(empty_url)
    inferq_migrations.downgrade(empty_url, "0003")
    execute(database, "INSERT INTO models (name, created_at) VALUES ('digits', 1)")
    row = "('digits', 1, 'file:///a', '00', 'skops', '[]', false, '1.9.1', '{}', 1)"
    columns = "model, number, uri, digest, format, trusted_types, trust_pickle, sklearn_version, signature, created_at"
    execute(database, f"INSERT INTO versions ({columns}) VALUES {row}")
    inferq_migrations.upgrade(empty_url)
    store = opened(empty_url)
    version = store.version("digits", "1")
    assert (version.runtime, version.runtime_reason, version.onnx_uri) == (Runtime.SKLEARN, None, None)
    store.close()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("ALTER TABLE jobs ADD COLUMN colour text", "remove_column: jobs colour"),
        ("CREATE TABLE stray (n integer)", "remove_table: stray"),
        ("DROP INDEX ix_feedback_job_id", "add_index: ix_feedback_job_id"),
        ("DROP TABLE leases", "add_table: leases"),
    ],
)
def test_check_names_each_difference(empty_url, database, change, line):
    inferq_migrations.upgrade(empty_url)
    execute(database, change)
    assert inferq_migrations.check(empty_url) == [line]


def test_check_sees_a_revision_that_is_behind(empty_url, database):
    inferq_migrations.upgrade(empty_url)
    execute(database, "UPDATE alembic_version SET version_num = '0000'")
    assert inferq_migrations.check(empty_url) == [f"revision is 0000, the newest is {SCHEMA_REVISION}"]


def test_the_check_is_not_fooled_by_partitions(postgres_url):
    inferq_migrations.upgrade(postgres_url)
    with_partitions = Database(postgres_url)
    names = with_partitions.read(lambda connection: inspect(connection).get_table_names())
    assert sum(map(partitions.is_partition, names)) >= 4
    with_partitions.close()
    assert inferq_migrations.check(postgres_url) == []


def test_a_migration_that_fails_leaves_nothing_behind(empty_url, database):
    execute(database, "CREATE TABLE workers (n integer)")
    with pytest.raises(Exception, match="already exists"):
        inferq_migrations.upgrade(empty_url)
    assert table_names(database) <= {"workers", "alembic_version"}


def test_upgrades_that_race_take_turns(empty_url):
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(inferq_migrations.upgrade, [empty_url] * 4)) == {head()}
    assert inferq_migrations.check(empty_url) == []


def test_processes_that_open_a_new_sqlite_store_at_once_share_it(sqlite_url):
    assert len(set(in_processes(store_id, [(sqlite_url,)] * 4))) == 1


class TestOpening:
    def test_sqlite_makes_its_home_and_schema(self, tmp_path):
        settings = load_settings(home=tmp_path / "a" / "home")
        store = open_store(settings)
        assert (tmp_path / "a" / "home" / "inferq.db").exists()
        assert inferq_migrations.check(settings.store) == []
        store.close()

    def test_a_folder_that_does_not_exist_is_one_clear_line(self, tmp_path):
        with pytest.raises(StoreUnavailable, match=r"unable to open|No such file"):
            open_store(load_settings(store_url=f"sqlite:///{tmp_path}/missing/inferq.db"))

    def test_a_file_that_is_no_database_is_one_clear_line(self, tmp_path):
        (tmp_path / "inferq.db").write_text("hello " * 1000)
        with pytest.raises(StoreUnavailable, match="not a database"):
            open_store(load_settings(store_url=f"sqlite:///{tmp_path}/inferq.db"))

    def test_postgresql_waits_for_an_upgrade(self, postgres_url):
        store = open_store(load_settings(store_url=postgres_url))
        for use in (lambda: store.store_id, lambda: accepted(store), store.counts):
            with pytest.raises(SchemaOutdated, match="inferq db upgrade"):
                use()
        inferq_migrations.upgrade(postgres_url)
        assert store.store_id
        store.close()

    def test_an_old_revision_is_outdated(self, postgres_url):
        inferq_migrations.upgrade(postgres_url)
        database = Database(postgres_url)
        execute(database, "UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(SchemaOutdated):
            store_id(postgres_url)
        database.close()

    def test_a_newer_revision_is_not(self, store_url):
        store = opened(store_url)
        execute(store._database, "UPDATE alembic_version SET version_num = '9999'")
        assert store_id(store_url) == store.store_id
        store.close()

    def test_a_table_that_is_missing_is_outdated(self, store):
        execute(store._database, "DROP TABLE feedback")
        with pytest.raises(SchemaOutdated, match="feedback"):
            store.add_feedback([(accepted(store)[0], 1)])


class TestHosts:
    def test_a_second_host_on_sqlite_is_refused(self, sqlite_url, monkeypatch):
        opened(sqlite_url).close()
        monkeypatch.setattr(opening, "host_identity", lambda: "another-host")
        with pytest.raises(StoreMismatch, match="another-host"):
            opened(sqlite_url)

    def test_an_upgrade_by_hand_takes_the_file_over(self, sqlite_url, monkeypatch):
        opened(sqlite_url).close()
        monkeypatch.setattr("inferq_migrations.runner.host_identity", lambda: "new-host")
        inferq_migrations.upgrade(sqlite_url)
        with pytest.raises(StoreMismatch, match="new-host"):
            opened(sqlite_url)

    def test_the_host_is_the_same_each_time(self):
        assert opening.host_identity() == opening.host_identity() != ""

    def test_postgresql_serves_many(self, migrated_postgres_url, monkeypatch):
        first = store_id(migrated_postgres_url)
        monkeypatch.setattr(opening, "host_identity", lambda: "another-host")
        assert store_id(migrated_postgres_url) == first
        database = Database(migrated_postgres_url)
        keys = database.read(lambda connection: connection.scalars(select(meta.c.key)).all())
        assert keys == ["store_id"]
        database.close()
