"""How much waits, and what the last batches did."""

from given import LOG, accepted, claimed, finished, new_job, succeeded

from inferq_core.states import Priority


class TestBacklog:
    def test_an_empty_store_has_none(self, store):
        assert store.backlog() == []

    def test_by_queue_priority_and_model(self, store):
        accepted(store, 3, model="iris", priority=Priority.BULK, n_rows=5)
        accepted(store, 2, model="digits", priority=Priority.BULK)
        accepted(store, 1, model="digits", priority=Priority.INTERACTIVE)
        accepted(store, 1, model="large", queue="gpu")
        found = [(g.queue, g.priority, g.model, g.queued_jobs, g.queued_rows) for g in store.backlog()]
        assert found == [
            ("gpu", Priority.NORMAL, "large", 1, 1),
            ("predictions", Priority.INTERACTIVE, "digits", 1, 1),
            ("predictions", Priority.BULK, "digits", 2, 2),
            ("predictions", Priority.BULK, "iris", 3, 15),
        ]

    def test_running_jobs_are_counted_apart(self, store):
        claimed(store, 2, n_rows=3)
        (running,) = store.backlog()
        assert (running.queued_jobs, running.queued_rows, running.oldest_seconds) == (0, 0, None)
        assert (running.running_jobs, running.running_rows) == (2, 6)
        accepted(store, 4)
        (both,) = store.backlog()
        assert (both.queued_jobs, both.running_jobs) == (4, 2)
        assert both.oldest_seconds >= 0

    def test_finished_jobs_are_not(self, store):
        finished(store, 2)
        assert store.backlog() == []

    def test_no_more_groups_than_asked_for(self, store):
        store.accept([new_job(model=f"model-{n}") for n in range(5)])
        assert [group.model for group in store.backlog(limit=2)] == ["model-0", "model-1"]


class TestRecentBatches:
    def test_the_newest_first_and_no_more_than_asked_for(self, store):
        made = [claimed(store)[0] for _ in range(4)]
        assert [batch.id for batch in store.recent_batches(limit=3)] == made[:0:-1]

    def test_a_running_one_has_no_outcome(self, store):
        claimed(store, 2, n_rows=3)
        (batch,) = store.recent_batches(limit=10)
        assert (batch.worker, batch.n_jobs, batch.n_rows) == ("worker-1", 2, 6)
        assert (batch.outcome, batch.finished_at, batch.predict_seconds) == (None, None, None)

    def test_a_finished_one_says_how_it_ended(self, store):
        batch_id, ids = claimed(store)
        store.complete(batch_id, [succeeded(ids[0])], LOG)
        (batch,) = store.recent_batches(limit=10)
        assert (batch.outcome, batch.predict_seconds) == ("completed", 0.25)
        assert batch.finished_at >= batch.claimed_at


class TestBusy:
    def test_live_batches_by_worker(self, store):
        assert store.busy() == {}
        first, _ = claimed(store)
        claimed(store)
        assert store.busy() == {"worker-1": 2}
        store.release(first, max_attempts=20)
        assert store.busy() == {"worker-1": 1}

    def test_a_lease_that_ran_out_keeps_nobody_busy(self, store):
        claimed(store, lease=-1)
        assert store.busy() == {}
