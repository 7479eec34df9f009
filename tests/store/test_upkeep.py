"""The keeper's part: elections, deadlines, orphans, heartbeats."""

import pytest
from given import accepted, beat, claim_again, claimed, finished, new_job, published
from processes import elect, in_processes, in_threads
from sqlalchemy import select, update

from inferq_core.states import ErrorCode, Priority, State
from inferq_core.store.sql import read_clock
from inferq_core.store.tables import pending, workers

ORPHANS = {"queue": "predictions", "after": 10.0, "depth_is_zero": False, "worker_timeout": 30.0}


def now(store):
    return store._database.read(read_clock)


def last_seen(store, name, *, seconds_ago):
    change = update(workers).where(workers.c.name == name).values(seen_at=workers.c.seen_at - seconds_ago)
    store._database.write(lambda connection: connection.execute(change))


class TestElection:
    def test_one_holder_at_a_time(self, store):
        assert store.elect("keeper", "a", lease=60) is True
        assert store.elect("keeper", "b", lease=60) is False
        assert store.elect("keeper", "a", lease=60) is True

    def test_a_lease_that_ran_out_is_free(self, store):
        assert store.elect("keeper", "a", lease=-1) is True
        assert store.elect("keeper", "b", lease=60) is True
        assert store.elect("keeper", "a", lease=60) is False

    def test_roles_do_not_meet(self, store):
        assert store.elect("keeper", "a", lease=60) is True
        assert store.elect("janitor", "b", lease=60) is True

    @pytest.mark.parametrize("together", [in_processes, in_threads])
    def test_a_race_has_one_winner(self, store, store_url, together):
        assert sum(together(elect, [(store_url, name) for name in "abcd"])) == 1


class TestDeadlines:
    def test_queued_jobs_past_their_deadline_end(self, store):
        overdue = accepted(store, 3, deadline=-1)
        waiting = accepted(store, 2, deadline=60) + accepted(store)
        assert store.expire_overdue() == 3
        assert set(store.states(overdue).values()) == {State.EXPIRED}
        assert set(store.states(waiting).values()) == {State.QUEUED}
        result = store.result(overdue[0])
        assert (result.error_code, result.attempt, result.batch_id) == (ErrorCode.DEADLINE_EXCEEDED, 0, None)
        assert result.error_message
        assert store.expire_overdue() == 0

    def test_running_ones_do_not(self, store):
        _, ids = claimed(store, deadline=-1)
        assert store.expire_overdue() == 0
        assert store.state(ids[0]) is State.RUNNING

    def test_no_more_than_asked_for(self, store):
        accepted(store, 5, deadline=-1)
        assert [store.expire_overdue(limit=2) for _ in range(4)] == [2, 2, 1, 0]


class TestOrphansByMark:
    """Queues are first in first out: what was published well before the newest message received has no message."""

    def test_older_than_the_mark_minus_the_allowance(self, store):
        lost, recent = accepted(store, 2), accepted(store)
        published(store, lost, seconds_ago=30)
        published(store, recent, seconds_ago=5)
        store.beat(beat(marks={("predictions", Priority.NORMAL): now(store)}), min_interval=0)
        assert [ref.id for ref in store.take_orphans(**ORPHANS)] == sorted(lost)

    def test_without_a_mark_nothing_can_be_said(self, store):
        published(store, accepted(store), seconds_ago=1e6)
        assert store.take_orphans(**ORPHANS) == []
        store.beat(beat(), min_interval=0)
        assert store.take_orphans(**ORPHANS) == []

    def test_a_mark_speaks_for_its_queue_and_priority_only(self, store):
        bulk = accepted(store, priority=Priority.BULK)
        heavy = accepted(store, queue="heavy")
        published(store, bulk + heavy, seconds_ago=30)
        store.beat(beat(marks={("predictions", Priority.NORMAL): now(store)}), min_interval=0)
        assert store.take_orphans(**ORPHANS) == []
        marks = {("predictions", Priority.BULK): now(store), ("heavy", Priority.NORMAL): now(store)}
        store.beat(beat("worker-2", marks=marks), min_interval=0)
        assert [ref.id for ref in store.take_orphans(**ORPHANS)] == bulk
        assert [ref.id for ref in store.take_orphans(**(ORPHANS | {"queue": "heavy"}))] == heavy

    def test_the_newest_mark_of_any_worker_counts_also_of_one_that_stopped(self, store):
        lost = accepted(store)
        published(store, lost, seconds_ago=30)
        key = ("predictions", Priority.NORMAL)
        store.beat(beat("new", marks={key: now(store)}), min_interval=0)
        store.worker_stopped("new")
        store.beat(beat("old", marks={key: now(store) - 100}), min_interval=0)
        assert [ref.id for ref in store.take_orphans(**ORPHANS)] == lost

    def test_a_worker_that_starts_again_does_not_forget_its_marks(self, store):
        lost = accepted(store)
        published(store, lost, seconds_ago=30)
        store.beat(beat(marks={("predictions", Priority.NORMAL): now(store)}), min_interval=0)
        store.worker_stopped("worker-1")
        store.beat(beat(pid=2), min_interval=0)
        assert [ref.id for ref in store.take_orphans(**ORPHANS)] == lost

    def test_what_a_living_worker_holds_back_has_a_message(self, store):
        lost, held = accepted(store), accepted(store)
        published(store, lost, seconds_ago=60)
        published(store, held, seconds_ago=30)
        key = ("predictions", Priority.NORMAL)
        holding = beat("slow", marks={key: now(store)}, buffered={"predictions": 1}, oldest={key: now(store) - 30})
        store.beat(holding, min_interval=0)
        store.beat(beat("quick", marks={key: now(store)}), min_interval=0)
        assert [worker.oldest for worker in store.workers(seen_within=60)] == [{}, holding.oldest]
        assert [ref.id for ref in store.take_orphans(**ORPHANS)] == lost
        last_seen(store, "slow", seconds_ago=60)
        assert [ref.id for ref in store.take_orphans(**ORPHANS)] == held

    def test_while_messages_wait_unreceived_nothing_is_taken(self, store):
        waiting = accepted(store)
        store.beat(beat(marks={("predictions", Priority.NORMAL): now(store)}), min_interval=0)
        published(store, waiting, seconds_ago=-60)
        assert store.take_orphans(**ORPHANS) == []


class TestOrphansOfAnEmptyQueue:
    EMPTY = ORPHANS | {"depth_is_zero": True}

    def test_older_than_the_allowance(self, store):
        lost, recent = accepted(store, 2), accepted(store)
        published(store, lost, seconds_ago=11)
        published(store, recent, seconds_ago=5)
        assert [ref.id for ref in store.take_orphans(**self.EMPTY)] == sorted(lost)

    def test_rows_that_a_living_worker_buffers_are_no_orphans(self, store):
        lost = accepted(store)
        published(store, lost, seconds_ago=30)
        store.beat(beat(buffered={"predictions": 3}), min_interval=0)
        assert store.take_orphans(**self.EMPTY) == []
        last_seen(store, "worker-1", seconds_ago=31)
        assert [ref.id for ref in store.take_orphans(**self.EMPTY)] == lost

    @pytest.mark.parametrize("buffered", [{"heavy": 3}, {"predictions": 0}, {}])
    def test_other_buffers_do_not_matter(self, store, buffered):
        lost = accepted(store)
        published(store, lost, seconds_ago=30)
        store.beat(beat(buffered=buffered), min_interval=0)
        assert [ref.id for ref in store.take_orphans(**self.EMPTY)] == lost

    def test_nor_does_a_worker_that_stopped(self, store):
        lost = accepted(store)
        published(store, lost, seconds_ago=30)
        store.beat(beat(buffered={"predictions": 3}), min_interval=0)
        store.worker_stopped("worker-1")
        assert [ref.id for ref in store.take_orphans(**self.EMPTY)] == lost

    def test_running_finished_and_foreign_jobs_are_none(self, store):
        _, running = claimed(store)
        finished(store)
        other_queue = accepted(store, queue="heavy")
        published(store, [*running, *other_queue], seconds_ago=1e6)
        assert store.take_orphans(**self.EMPTY) == []

    def test_taking_sets_the_time_and_doubles_the_threshold(self, store):
        (job_id,) = accepted(store)
        for after in (10, 20, 40, 80):
            published(store, [job_id], seconds_ago=after - 1)
            assert store.take_orphans(**self.EMPTY) == []
            published(store, [job_id], seconds_ago=2)
            before = now(store)
            (ref,) = store.take_orphans(**self.EMPTY)
            assert ref.published_at >= before - 0.01
            assert store.take_orphans(**self.EMPTY) == []

    def test_the_threshold_stops_doubling_before_it_overflows(self, store):
        (job_id,) = accepted(store)
        change = update(pending).values(republished=1000)
        store._database.write(lambda connection: connection.execute(change))
        published(store, [job_id], seconds_ago=10 * 2**16 + 60)
        assert len(store.take_orphans(**self.EMPTY)) == 1

    def test_the_count_starts_anew_when_a_message_arrived(self, store):
        (job_id,) = accepted(store)
        published(store, [job_id], seconds_ago=11)
        store.take_orphans(**self.EMPTY)
        batch_id, _ = claim_again(store, [job_id])
        store.release(batch_id, max_attempts=20)
        published(store, [job_id], seconds_ago=11)
        assert len(store.take_orphans(**self.EMPTY)) == 1

    def test_oldest_first_and_no_more_than_asked_for(self, store):
        lost = sorted(accepted(store, 7))
        published(store, lost, seconds_ago=30)
        taken = [[ref.id for ref in store.take_orphans(**self.EMPTY, limit=3)] for _ in range(4)]
        assert taken == [lost[:3], lost[3:6], lost[6:], []]

    def test_more_than_one_transaction_holds(self, store):
        lost = accepted(store, 1300)
        published(store, lost[:600], seconds_ago=30)
        published(store, lost[600:], seconds_ago=30)
        assert len(store.take_orphans(**self.EMPTY, limit=1201)) == 1201
        assert len(store.take_orphans(**self.EMPTY)) == 99

    def test_what_is_taken_can_be_published(self, store):
        job = new_job(model="text", n_rows=5, priority=Priority.BULK)
        store.accept([job])
        published(store, [job.id], seconds_ago=30)
        (ref,) = store.take_orphans(**self.EMPTY)
        assert (ref.id, ref.model, ref.queue, ref.priority, ref.n_rows, ref.group_limit) == (
            job.id,
            "text",
            "predictions",
            Priority.BULK,
            5,
            None,
        )


def test_queues_are_those_with_unfinished_jobs(store):
    assert store.queues() == []
    accepted(store, 2)
    accepted(store, queue="heavy")
    claimed(store, queue="running")
    finished(store, queue="done")
    assert store.queues() == ["heavy", "predictions", "running"]


class TestHeartbeats:
    def test_a_worker_is_seen_as_it_was_written(self, store):
        written = beat(marks={("predictions", 0): 12.5, ("heavy", 2): 3.0}, buffered={"predictions": 4})
        assert store.beat(written, min_interval=5) is True
        assert store.workers(seen_within=60) == [written]

    def test_not_more_often_than_the_interval(self, store):
        assert store.beat(beat(), min_interval=60) is True
        assert store.beat(beat(buffered={"predictions": 9}), min_interval=60) is False
        assert store.workers(seen_within=60)[0].buffered == {}
        last_seen(store, "worker-1", seconds_ago=61)
        assert store.beat(beat(buffered={"predictions": 9}), min_interval=60) is True
        assert store.workers(seen_within=60)[0].buffered == {"predictions": 9}

    def test_a_new_process_of_the_same_name_is_seen_at_once(self, store):
        store.beat(beat(pid=1), min_interval=60)
        assert store.beat(beat(pid=2), min_interval=60) is True
        assert store.workers(seen_within=60)[0].pid == 2

    def test_marks_never_go_back(self, store):
        store.beat(beat(marks={("predictions", 0): 50.0, ("predictions", 1): 7.0}), min_interval=0)
        store.beat(beat(marks={("predictions", 0): 40.0, ("heavy", 1): 1.0}), min_interval=0)
        assert store.workers(seen_within=60)[0].marks == {
            ("predictions", 0): 50.0,
            ("predictions", 1): 7.0,
            ("heavy", 1): 1.0,
        }

    def test_stopped_and_silent_workers_are_left_out(self, store):
        for name in ("alive", "silent", "stopped"):
            store.beat(beat(name), min_interval=0)
        last_seen(store, "silent", seconds_ago=61)
        store.worker_stopped("stopped")
        store.worker_stopped("never started")
        assert [worker.name for worker in store.workers(seen_within=60)] == ["alive"]

    def test_a_stopped_worker_that_beats_again_is_back(self, store):
        store.beat(beat(), min_interval=60)
        store.worker_stopped("worker-1")
        assert store.beat(beat(), min_interval=60) is True
        assert len(store.workers(seen_within=60)) == 1

    def test_workers_of_last_month_are_forgotten(self, store):
        store.beat(beat("ancient"), min_interval=0)
        last_seen(store, "ancient", seconds_ago=30 * 86_400)
        store.beat(beat("new"), min_interval=0)
        names = store._database.read(lambda connection: connection.scalars(select(workers.c.name)).all())
        assert names == ["new"]

    def test_processes_of_one_worker_may_beat_at_once(self, store):
        wrote = in_threads(lambda: store.beat(beat(), min_interval=60), [()] * 6)
        assert sum(wrote) == 1


def test_a_heartbeat_tells_what_batches_cost(store):
    store.beat(beat(costs={"digits": (0.5, 0.01)}), min_interval=0)
    [worker] = store.workers(seen_within=60)
    assert worker.costs == {"digits": (0.5, 0.01)}
