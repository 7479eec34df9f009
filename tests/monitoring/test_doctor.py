"""What doctor makes of what it finds. Judging needs nothing but values; asking is tried on real parts."""

import sys
import threading
from pathlib import Path

import orjson
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from given import accepted, beat
from processes import version

from inferq.local.embedded import EmbeddedBroker
from inferq_core.broker import SET_ASIDE_QUEUE, Publisher
from inferq_core.errors import ArtifactRejected, StoreUnavailable
from inferq_core.messages import JobMessage, Limits
from inferq_core.redis_lists import client_of
from inferq_core.settings import Settings
from inferq_core.states import Priority
from inferq_core.store.records import ModelRecord, QueueBacklog, Runtime, Subscription, VersionRecord
from inferq_core.store.tables import SCHEMA_REVISION
from inferq_models import register
from inferq_models.artifacts import verify
from inferq_models.examples import diabetes
from inferq_monitoring import doctor
from inferq_monitoring.checks import broker, fetching, fleet, machine, models
from inferq_monitoring.checks import store as store_checks
from inferq_monitoring.findings import Level, healthy, ok

GOOD = {
    "redis_version": "7.2.4",
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "used_memory": 10,
    "maxmemory": 100,
}


def levels(findings):
    return {(finding.check, finding.level) for finding in findings if finding.level is not Level.OK}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("doctor"))
    server = EmbeddedBroker(settings)
    yield settings.broker
    server.stop()


@pytest.fixture
def client(embedded):
    with client_of(embedded, connect_timeout=4) as opened:
        opened.flushall()
        yield opened


class TestBroker:
    @pytest.mark.parametrize(
        ("change", "found"),
        [
            ({}, set()),
            ({"redis_version": "6.2.1"}, {("broker version", Level.WARN)}),
            ({"redis_version": "10.0.0"}, set()),
            ({"redis_version": "7.2.4", "valkey_version": "8.1.0"}, set()),
            ({"maxmemory_policy": "allkeys-lru"}, {("broker eviction", Level.WARN)}),
            ({"aof_enabled": 0}, {("broker durability", Level.WARN)}),
            ({"used_memory": 81}, {("broker memory", Level.WARN)}),
            ({"used_memory": 81, "maxmemory": 0, "total_system_memory": 90}, {("broker memory", Level.WARN)}),
            ({"used_memory": 81, "maxmemory": 0}, set()),
        ],
    )
    def test_how_a_server_is_set_up(self, change, found):
        findings = list(broker.judge_redis(broker.redis_facts(GOOD | change)))
        assert levels(findings) == found
        assert all(finding.advice for finding in findings if finding.level is not Level.OK)

    def test_a_server_that_tells_nothing(self):
        assert levels(broker.judge_redis(broker.redis_facts({}))) == {
            ("broker version", Level.WARN),
            ("broker durability", Level.WARN),
        }

    def test_a_real_one(self, embedded):
        assert levels(broker.check_broker(Settings(broker_url=embedded))) == set()

    @pytest.mark.parametrize(
        "url",
        ["redis://user:secret@127.0.0.1:1/0", "redis+socket:///nowhere/broker.sock", "amqp://user:secret@127.0.0.1:1"],
    )
    def test_one_that_is_away(self, url):
        (finding,) = broker.check_broker(Settings(broker_url=url))
        assert finding.level is Level.FAIL
        assert "INFERQ_BROKER_URL" in finding.advice
        assert "secret" not in finding.found


class TestMessages:
    def publish(self, url, store_id, priority=Priority.NORMAL):
        message = JobMessage(
            store_id=store_id,
            model="digits",
            job_ids=["01890a5d-ac96-774b-bcce-b302099a8057"],
            n_rows=1,
            queue="predictions",
            priority=priority,
            published_at=1.0,
            limits=Limits(10, 10.0),
        )
        publisher = Publisher(url)
        publisher.publish([message])
        publisher.close()

    def check(self, url):
        return broker.check_messages(Settings(broker_url=url), "mine", ["predictions"])

    def test_nothing_waits(self, embedded, client):
        assert levels(self.check(embedded)) == set()

    def test_own_messages_stay_where_they_are(self, embedded, client):
        for priority in Priority:
            self.publish(embedded, "mine", priority)
        findings = self.check(embedded)
        assert levels(findings) == set()
        assert "the next 3" in findings[0].found
        assert len(broker.peek(client, "predictions")) == 3

    @pytest.mark.parametrize("priority", Priority)
    def test_a_message_of_another_store(self, embedded, client, priority):
        self.publish(embedded, "mine")
        self.publish(embedded, "theirs", priority)
        (finding, _) = self.check(embedded)
        assert (finding.check, finding.level) == ("messages", Level.FAIL)
        assert "theirs" in finding.found
        assert "mine" in finding.found

    @pytest.mark.parametrize(
        "garbage", [b"\xff\x00", b"{}", b"[]", b'{"headers":{"inferq":7}}', orjson.dumps({"headers": None})]
    )
    def test_what_is_no_message(self, embedded, client, garbage):
        client.lpush("predictions", garbage)
        assert levels(self.check(embedded)) == {("messages", Level.WARN)}

    def test_messages_set_aside_are_counted(self, embedded, client):
        client.lpush(SET_ASIDE_QUEUE, "a", "b")
        assert levels(self.check(embedded)) == {("set aside", Level.WARN)}
        assert self.check(embedded)[-1].found.startswith("2 messages")


class TestStore:
    def test_one_that_answers(self, store_url, store):
        assert store.store_id  # SQLite is made when it is opened
        assert levels(store_checks.check_store(Settings(store_url=store_url))) == set()

    def test_a_file_that_is_not_there_is_not_made(self, tmp_path):
        settings = Settings(home=tmp_path / "home")
        (finding,) = store_checks.check_store(settings)
        assert (finding.level, finding.check) == (Level.FAIL, "store")
        assert not settings.home_path.exists()

    def test_one_without_tables(self, postgres_url):
        findings = store_checks.check_store(Settings(store_url=postgres_url))
        assert levels(findings) == {("migrations", Level.FAIL)}
        assert "inferq db upgrade" in findings[-1].advice

    def test_one_that_is_away(self):
        url = "postgresql+psycopg://user:secret@127.0.0.1:1/inferq"
        (finding,) = store_checks.check_store(Settings(store_url=url))
        assert finding.level is Level.FAIL
        assert "secret" not in finding.found

    @pytest.mark.parametrize(
        ("revision", "level"),
        [(None, Level.FAIL), ("0001", Level.FAIL), (SCHEMA_REVISION, Level.OK), ("9999", Level.WARN)],
    )
    def test_migrations(self, revision, level):
        assert store_checks.judge_revision(revision).level is level

    @pytest.mark.parametrize(
        ("difference", "uncertainty", "level", "word"),
        [
            (0.0, 0.001, Level.OK, "0 ms"),
            (-1.9, 0.0, Level.OK, "1900 ms"),
            (3.0, 0.1, Level.WARN, "behind"),
            (-3.0, 0.1, Level.WARN, "ahead of"),
            (3.0, 2.0, Level.SKIPPED, "4.0 s"),
        ],
    )
    def test_clocks(self, difference, uncertainty, level, word):
        finding = store_checks.judge_clock(difference, uncertainty)
        assert finding.level is level
        assert word in finding.found

    def test_the_clock_of_a_real_database(self, store):
        assert levels(store_checks.check_clock(store.now)) == set()


class TestFleet:
    def test_no_worker(self):
        assert levels(fleet.judge_workers([], [])) == {("workers", Level.FAIL)}

    def test_workers_that_live_and_one_that_fell_silent(self):
        findings = list(fleet.judge_workers([beat("a")], [beat("a"), beat("b", pid=7)]))
        assert levels(findings) == {("workers", Level.WARN)}
        assert "pid 7" in findings[-1].found

    def test_queues_that_must_be_served(self):
        settings = Settings(queue="usual")
        records = [
            ModelRecord(name, queue, None, None, None, None, 0.0) for name, queue in (("a", None), ("b", "heavy"))
        ]
        backlog = [QueueBacklog("old", 1, 1, 0, 5.0), QueueBacklog("heavy", 2, 2, 1, 5.0)]
        wanted = fleet.wanted_queues(backlog, records, settings)
        assert set(wanted) == {"usual", "heavy", "old"}
        assert wanted["old"] == "1 job is unfinished there"
        findings = list(fleet.judge_queues([beat()], {"predictions": "jobs", "heavy": "the jobs of b go there"}))
        assert levels(findings) == {("queues", Level.FAIL)}
        assert "INFERQ_QUEUES=heavy" in findings[0].advice

    def test_the_keeper(self):
        assert fleet.judge_keeper(None).level is Level.FAIL
        assert fleet.judge_keeper("host:1").level is Level.OK

    @pytest.mark.parametrize(
        ("waited", "running", "buffered", "level"),
        [
            (59, 0, 0, Level.OK),
            (61, 0, 0, Level.FAIL),
            (61, 3, 0, Level.WARN),
            (61, 0, 5, Level.WARN),
        ],
    )
    def test_jobs_that_wait(self, waited, running, buffered, level):
        backlog = [QueueBacklog("predictions", 9, 9, running, float(waited))]
        (finding,) = fleet.judge_backlog(backlog, [beat(buffered={"predictions": buffered})])
        assert (finding.level, "9 jobs" in finding.found) == (level, True)

    @pytest.mark.parametrize(
        ("depth", "waited", "running", "buffered", "level"),
        [
            (5, 90, 0, 0, Level.FAIL),
            (0, 90, 0, 0, Level.OK),  # the messages are lost: the keeper's business
            (5, 5, 0, 0, Level.OK),
            (5, 90, 1, 0, Level.OK),
            (5, 90, 0, 3, Level.OK),
        ],
    )
    def test_messages_that_nobody_takes(self, depth, waited, running, buffered, level):
        backlog = [QueueBacklog("predictions", 9, 9, running, float(waited))]
        worker = beat(marks={("predictions", 3): 1000.0}, buffered={"predictions": buffered})
        (finding,) = fetching.judge_fetching({"predictions": depth}, backlog, [worker], 1095.0)
        assert finding.level == level
        assert level is Level.OK or "5 messages wait" in finding.found
        assert level is Level.OK or "published 95 s ago" in finding.found

    def test_whether_messages_are_taken_in_a_real_system(self, store, client, embedded):
        settings = Settings(broker_url=embedded)
        store.beat(beat(), min_interval=0)
        accepted(store)
        assert levels(fetching.check_fetching(store, settings)) == set()

    def test_what_no_worker_serves_is_said_once(self):
        assert list(fleet.judge_backlog([QueueBacklog("heavy", 9, 9, 0, 1e6)], [beat()])) == []

    def test_a_real_store(self, store):
        settings = Settings()
        assert levels(fleet.check_fleet(store, settings)) == {("workers", Level.FAIL), ("keeper", Level.FAIL)}
        store.beat(beat(), min_interval=0)
        store.elect("keeper", "me", lease=60)
        accepted(store)
        assert levels(fleet.check_fleet(store, settings)) == set()
        store.cancel(accepted(store, webhook=Subscription("https://example.com/", "example.com:443")))
        assert levels(fleet.check_fleet(store, settings)) == {("deliverer", Level.FAIL)}
        store.elect("deliverer", "me", lease=60)
        accepted(store, queue="heavy")
        assert levels(fleet.check_fleet(store, settings)) == {("queues", Level.FAIL)}


class TestModels:
    @pytest.fixture
    def settings(self, tmp_path):
        return Settings(home=tmp_path)

    @pytest.fixture
    def registered(self, settings):
        example = diabetes.build()
        return register("diabetes", example.estimator, example.X_train[:20], settings=settings)

    def test_none(self, store):
        assert levels(models.check_models(store)) == {("models", Level.WARN)}

    def test_champions(self, store):
        store.add_version(version(), aliases=("champion", "challenger"))
        store.add_version(version("text"), aliases=("challenger",))
        store.add_version(version("text"))
        findings = models.check_models(store)
        assert levels(findings) == {("models", Level.FAIL)}
        assert "text has no champion" in findings[-1].found
        assert [(v.model, v.number) for v in models.named_versions(store)] == [("digits", 1), ("text", 1)]

    def test_an_artifact_that_is_as_it_was(self, settings, registered):
        (finding,) = models.check_artifact(registered, settings)
        assert finding.level is Level.OK
        assert verify(settings.artifacts, registered) == Path(registered.uri.removeprefix("file://")).stat().st_size

    def test_one_that_was_changed_or_lost(self, settings, registered):
        file = Path(registered.uri.removeprefix("file://"))
        file.chmod(0o600)
        file.write_bytes(file.read_bytes() + b"\0")
        (finding,) = models.check_artifact(registered, settings)
        assert (finding.level, "SHA-256" in finding.found) == (Level.FAIL, True)
        file.unlink()
        (finding,) = models.check_artifact(registered, settings)
        assert (finding.level, "missing" in finding.found) == (Level.FAIL, True)

    def test_storage_that_cannot_be_reached(self, registered):
        (finding,) = models.check_artifact(registered, Settings(artifacts_url="nosuch://bucket/models"))
        assert finding.level is Level.FAIL

    def test_another_version_of_scikit_learn(self):
        none = (Runtime.SKLEARN, None, None, None)
        record = VersionRecord("digits", 1, "", "", "skops", (), False, "1.0.0", "{}", *none, 0.0)
        (finding,) = models.judge_artifact(record, lambda: 5, "1.9.0")
        assert finding.level is Level.WARN
        assert "1.0.0" in finding.found
        assert "1.9.0" in finding.found


class TestMachine:
    @pytest.mark.parametrize(("free", "level"), [(1e8, Level.FAIL), (1e9, Level.WARN), (1e10, Level.OK)])
    def test_space(self, free, level):
        assert machine.judge_space(Path("/somewhere"), int(free)).level is level

    def test_a_home_that_is_not_there_yet(self, tmp_path):
        (finding,) = machine.check_disk(Settings(home=tmp_path / "a" / "b"))
        assert str(tmp_path) in finding.found

    def test_a_misspelled_variable(self, monkeypatch):
        monkeypatch.setenv("INFERQ_LEAES", "20")
        findings = machine.check_settings(Settings(store_url="sqlite:////somewhere/x.db"))
        assert levels(findings) == {("settings", Level.WARN)}
        assert "INFERQ_LEAES" in findings[-1].found


class TestPatience:
    def test_a_check_that_hangs_is_left_behind(self):
        never = threading.Event()
        (finding,) = doctor.within(0.05, "broker", lambda: [ok("broker", str(never.wait(60)))])
        assert (finding.check, finding.level) == ("broker", Level.FAIL)
        never.set()

    @pytest.mark.parametrize("error", [StoreUnavailable("away"), ArtifactRejected("away"), RuntimeError("away")])
    def test_a_check_that_breaks_does_not_end_the_others(self, error):
        def broken():
            raise error

        (finding,) = doctor.within(60, "store", broken)
        assert (finding.check, finding.level, "away" in finding.found) == ("store", Level.FAIL, True)

    def test_nothing_at_all(self, tmp_path):
        findings = list(doctor.examine(Settings(home=tmp_path / "home")))
        assert not healthy(findings)
        assert {"broker", "store"} <= {finding.check for finding in findings if finding.level is Level.FAIL}
        assert not (tmp_path / "home").exists()

    def test_a_broker_that_accepts_and_says_nothing(self, store_url, store, monkeypatch):
        """The worst kind: it takes connections and never answers."""
        import socket

        assert store.store_id
        monkeypatch.setattr(broker, "TIMEOUT", 0.2)
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
            findings = list(doctor.examine(Settings(store_url=store_url, broker_url=url)))
        assert ("broker", Level.FAIL) in levels(findings)
        assert any(finding.check == "keeper" for finding in findings)
