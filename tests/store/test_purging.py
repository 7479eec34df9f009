"""Retention: what ended before a moment goes, and nothing else."""

import threading
from datetime import UTC, datetime

import pytest
from given import LOG, beat, claimed, finished, new_job, succeeded
from processes import opened
from sqlalchemy import func, select, text, update

from inferq_core.errors import UnknownJob
from inferq_core.ids import JobId, NumberedIds, lowest_id, new_batch_id
from inferq_core.states import State
from inferq_core.store import partitions, purging
from inferq_core.store.records import LogEntry, NewScalingDecision
from inferq_core.store.tables import batches, feedback, idempotency_keys, jobs, logs, metadata, results, workers

DAY = 86_400.0
WEEK = partitions.WINDOW_S


@pytest.fixture
def postgres_store(migrated_postgres_url):
    store = opened(migrated_postgres_url)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    monkeypatch.setattr(purging, "STEP_ROWS", {"sqlite": 3, "postgresql": 3})


def purge(store, before):
    total = {}
    for step in store.purge(before=before):
        for table, rows in step.items():
            total[table] = total.get(table, 0) + rows
    return {table: rows for table, rows in total.items() if rows}


def ids_of(at, n):
    """Ids that were made then."""
    numbered = NumberedIds(b"test", int(at * 1000))
    return [numbered.at(number) for number in range(n)]


def execute(store, *statements):
    def work(connection):
        for statement in statements:
            connection.execute(text(statement) if isinstance(statement, str) else statement)

    store._database.write(work)


def ended(store, at, n=1, **options):
    """Ids of `n` jobs that were accepted, and ended, at that time."""
    ids = list(store.accept([new_job(id=job_id, **options) for job_id in ids_of(at, n)]).ids)
    batch = new_batch_id()
    store.claim(batch, ids, worker="any", lease=60)
    store.complete(batch, [succeeded(job_id) for job_id in ids], LOG)
    old_batch = ids_of(at - 1, n + 1)[-1]
    execute(
        store,
        update(jobs).where(jobs.c.id.in_(ids)).values(created_at=at),
        update(results).where(results.c.id.in_(ids)).values(completed_at=at, batch_id=old_batch),
        update(batches).where(batches.c.id == batch).values(id=old_batch, finished_at=at),
    )
    return ids


def rows(store, table):
    return store._database.read(lambda connection: connection.scalar(select(func.count()).select_from(table)))


def add_weeks(store, *starts):
    """Partitions of weeks gone by."""
    for start in starts:
        for parent in partitions.PARTITIONED:
            execute(
                store,
                f"CREATE TABLE {parent}_{datetime.fromtimestamp(start, UTC):%Y%m%d} PARTITION OF {parent} "
                f"FOR VALUES FROM ('{lowest_id(start)}') TO ('{lowest_id(start + WEEK)}')",
            )


def weeks(store):
    return store._database.read(partitions._days)


class TestOnEither:
    def test_exactly_what_ended_before_goes(self, store):
        before = store.now() - 30 * DAY
        gone = ended(store, before - 0.001, 7)
        kept = ended(store, before, 2) + ended(store, before + 60, 2) + finished(store)
        purge(store, before)
        assert store.states(gone + kept) == dict.fromkeys(kept, State.SUCCEEDED)
        assert (rows(store, jobs), rows(store, results), rows(store, batches)) == (5, 5, 3)
        for ask in (store.state, store.result, store.view, store.life, store.inputs):
            with pytest.raises(UnknownJob, match="purged"):
                ask(gone[0])

    def test_what_is_accepted_long_ago_and_ended_since_stays(self, store):
        before = store.now() - 30 * DAY
        (late,) = ended(store, before - DAY)
        execute(store, update(results).values(completed_at=before + 1))
        purge(store, before)
        assert store.state(late) is State.SUCCEEDED

    def test_unfinished_jobs_stay(self, store):
        before = store.now() - 30 * DAY
        queued, running = (store.accept([new_job(id=id_)]).ids[0] for id_ in ids_of(before - 60 * DAY, 2))
        store.claim(new_batch_id(), [running], worker="any", lease=60)
        ended(store, before - 60 * DAY - 1, 4)
        purge(store, before)
        assert store.states([queued, running]) == {queued: State.QUEUED, running: State.RUNNING}
        assert (store.inputs(queued), rows(store, jobs)) == ([[1.0]], 2)

    def test_what_belongs_to_a_job_goes_with_it(self, store):
        before = store.now() - DAY
        (old,) = ended(store, before - 9, idempotency_key="a", payload_digest="x")
        (retry,) = store.accept(store.copies([old])).ids
        (new,) = finished(store, idempotency_key="b", payload_digest="x")
        store.add_feedback([(old, 1), (old, 2), (new, 3)])
        purge(store, before)
        assert (rows(store, feedback), rows(store, idempotency_keys)) == (1, 1)
        assert (store.keyed("a"), store.keyed("b")) == (None, new)
        assert (store.state(retry), store.life(retry).retry_of) == (State.QUEUED, old)

    def test_what_happened_then_goes_too(self, store):
        before = store.now() - 10 * DAY
        store.append([LogEntry("info", "then")] * 7)
        execute(store, update(logs).values(at=before - 1))
        store.append([LogEntry("info", "now")] * 2)
        decisions = [NewScalingDecision(id_, "w", 1, 2, "why", {}, 0.0) for id_ in ids_of(before - 9, 2)]
        store.record_scaling(decisions)
        execute(store, "UPDATE scaling_decisions SET at = at - 2000000")
        store.beat(beat("gone"), min_interval=0)
        execute(store, update(workers).values(seen_at=before - 1))
        store.beat(beat("new", pid=2), min_interval=0)
        execute(store, update(workers).where(workers.c.name == "new").values(seen_at=before + 1))
        assert purge(store, before) | {"workers": 1} == {"logs": 7, "scaling_decisions": 2, "workers": 1}
        assert [entry.event for _, entry in store.read()] == ["now", "now"]

    def test_an_unfinished_batch_stays(self, store):
        before = store.now() + 60
        batch, _ = claimed(store)
        purge(store, before)
        assert store.renew(batch, lease=60)

    def test_it_says_before_what_it_would_do(self, store):
        before = store.now() - DAY
        old = ended(store, before - 9, 4, idempotency_key=None)
        store.add_feedback([(old[0], 1)])
        store.accept(store.copies(old[:1]))
        finished(store, 2)
        planned = {table: n for table, n in store.purgeable(before=before).items() if n}
        assert planned == {"jobs": 4, "results": 4, "batches": 1, "feedback": 1, "idempotency_keys": 1}
        assert purge(store, before) == planned

    def test_the_store_still_tells_how_much_there_is(self, store):
        before = store.now() - DAY
        store.accept([new_job(id=id_) for id_ in ids_of(before - 99, 1)])
        ended(store, before - 9, 8)
        new = finished(store, 3)
        for _ in range(2):
            purge(store, before)
            if store._database.dialect == "postgresql":
                execute(store, "ANALYZE")
            found = store.stats()
            counted = {table.name: table.rows for table in found.tables}
            assert {name: counted[name] for name in ("jobs", "results")} == {"jobs": 4, "results": 3}
            assert counted == {name: rows(store, metadata.tables[name]) for name in counted}
            assert (found.jobs[State.SUCCEEDED], found.jobs[State.QUEUED]) == (3, 1)
        purge(store, store.now() + 60)  # the newest rows, whose numbers are given again
        finished(store, 2)
        if store._database.dialect == "postgresql":
            execute(store, "ANALYZE")
        assert {table.name: table.rows for table in store.stats().tables}["results"] == 2
        assert set(store.states(new).values()) == set()


class TestWholeWeeks:
    def start(self, store, ago):
        return (store.now() // WEEK - ago) * WEEK

    def test_are_dropped(self, postgres_store):
        store = postgres_store
        first, second = self.start(store, 5), self.start(store, 4)
        add_weeks(store, first, second)
        gone = ended(store, first + 9, 5, idempotency_key=None)
        kept = ended(store, second + 9, 2)
        store.add_feedback([(gone[0], 1), (kept[0], 2)])
        known = weeks(store)
        assert purge(store, second) == {"jobs": 5, "results": 5, "feedback": 1, "batches": 1}
        assert weeks(store) == known[1:]
        leftovers = text("SELECT count(*) FROM pg_class WHERE relname LIKE '%' || :day")
        assert store._database.read(lambda connection: connection.scalar(leftovers, {"day": known[0]})) == 0
        assert set(store.states(gone + kept)) == set(kept)

    @pytest.mark.parametrize("why", ["an unfinished job", "one that ended since"])
    def test_stay_while_they_hold(self, postgres_store, why):
        store = postgres_store
        start = self.start(store, 5)
        add_weeks(store, start)
        before = self.start(store, 3)
        gone = ended(store, start + 9, 5)
        (kept,) = store.accept([new_job(id=ids_of(start + 10, 1)[0])]).ids
        if why == "one that ended since":
            batch = new_batch_id()
            store.claim(batch, [kept], worker="any", lease=60)
            store.complete(batch, [succeeded(kept)], LOG)
        known = weeks(store)
        purge(store, before)
        assert weeks(store) == known
        assert store.states([*gone, kept]).keys() == {kept}

    def test_that_are_busy_are_left_and_deleted_by_rows(self, postgres_store, monkeypatch):
        monkeypatch.setattr(partitions, "DETACH_TRIES", 2)
        store = postgres_store
        start = self.start(store, 5)
        add_weeks(store, start)
        gone = ended(store, start + 9, 5)
        known = weeks(store)

        def reading(connection):
            connection.execute(text("SELECT count(*) FROM jobs"))
            return purge(store, self.start(store, 3))

        assert store._database.write(reading)["jobs"] == 5
        assert weeks(store) == known
        assert store.states(gone) == {}
        assert purge(store, self.start(store, 3)) == {}
        assert weeks(store) == known[1:]

    def test_what_an_interrupted_purge_left_is_dropped(self, postgres_store):
        store = postgres_store
        start = self.start(store, 5)
        add_weeks(store, start)
        day = weeks(store)[0]
        execute(
            store,
            f"ALTER TABLE jobs DETACH PARTITION jobs_{day}",
            f"ALTER TABLE results DETACH PARTITION results_{day}",
        )
        purge(store, start)
        found = store._database.read(
            lambda connection: connection.scalar(text(f"SELECT count(*) FROM pg_class WHERE relname = 'jobs_{day}'"))
        )
        assert found == 0


def test_workers_work_on_while_it_purges(store):
    """Loops of accept, claim and complete; each answer is there, and no call raises."""
    before = store.now() - 30 * DAY
    if store._database.dialect == "postgresql":
        add_weeks(store, *((store.now() // WEEK - ago) * WEEK for ago in (6, 7, 8)))
    for ago in (6, 7, 8):
        ended(store, store.now() - ago * WEEK, 300)
    stopping = threading.Event()
    answered, faults = [], []

    def work():
        try:
            while not stopping.is_set():
                answered.extend(finished(store, 5))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        deleted = 0
        for step in store.purge(before=before):
            deleted += step.get("jobs", 0)
    finally:
        at_the_end = len(answered)
        stopping.set()
        for thread in threads:
            thread.join(60)
    assert faults == []
    assert (deleted, rows(store, jobs)) == (900, len(answered))
    assert at_the_end > 0
    assert set(store.states([JobId(id_) for id_ in answered]).values()) == {State.SUCCEEDED}
    if store._database.dialect == "postgresql":
        assert len(weeks(store)) == 3
