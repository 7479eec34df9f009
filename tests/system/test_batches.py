"""What a batch may be, with real workers: how urgent work goes first, how models share, how a target bounds."""

import sqlalchemy as sa
from checks import finish, register_model, rows_for
from harness import wait_for
from misbehaving import Slow, SlowRows

from inferq_core.store.engine import Database

BATCH_SECONDS = 0.4


def asked(system, statement):
    database = Database(system.settings.store)
    try:
        return database.read(lambda connection: connection.execute(sa.text(statement)).all())
    finally:
        database.close()


def claims(system):
    """When batches were claimed, oldest first."""
    return [row.claimed_at for row in asked(system, "SELECT claimed_at FROM batches ORDER BY 1")]


def messages_left(system):
    return sum(system.broker.client.llen(key) for key in system.broker.client.keys("predictions*"))


def test_interactive_work_is_in_the_very_next_batch_however_much_bulk_waits(any_system):
    system = any_system
    register_model(system, "slow", Slow(BATCH_SECONDS), max_batch_rows=64)
    register_model(system, "sum", Slow(0.0))
    # With one process there is no doubt which batch is the next.
    system.start_worker(INFERQ_CONCURRENCY="1")
    finish(system, [system.client.submit(name, rows_for(1)) for name in ("slow", "sum")])
    # Given a worker that holds as much bulk work as it may, of which there is more,
    system.client.submit_many("slow", rows_for(4000))
    wait_for(lambda: 30 < messages_left(system) < 48, timeout=60, what="the worker to hold what it may")
    for _ in range(5):
        before = claims(system)[-1]
        begun = wait_for(lambda before=before: [at for at in claims(system) if at > before], timeout=60, what="a batch")
        # when a job is submitted while a batch runs,
        row = rows_for(1)
        job = system.client.submit("sum", row, priority="interactive")
        assert job.result(timeout=60).outputs == [float(row.sum())]
        # then it is in the next one.
        its_own = system.store.result(job.id).claimed_at
        assert next(at for at in claims(system) if at > begun[-1]) == its_own
    assert messages_left(system) > 0, "more bulk work was there all the time"


def test_a_flood_of_one_model_leaves_another_its_share(system):
    register_model(system, "slow", Slow(BATCH_SECONDS), max_batch_rows=1)
    register_model(system, "sum", Slow(0.05), max_batch_rows=1)
    rows = rows_for(40)
    flood = [system.client.submit("slow", row[None, :]) for row in rows]
    jobs = [system.client.submit("sum", row[None, :]) for row in rows]
    system.start_worker()
    finish(system, jobs)
    # In turns by age, as many of the slow ones would have been run.
    ended = sum(state.terminal for state in system.states(flood).values())
    assert ended < len(flood) // 2
    finish(system, flood)


def test_batches_stay_within_the_latency_target_once_it_is_known_what_they_cost(system):
    register_model(system, "sum", SlowRows(0.01), latency_target=0.5)
    system.start_worker()
    rows = rows_for(400)
    finish(system, [system.client.submit("sum", rows[:1]) for _ in range(8)])
    finish(system, [system.client.submit("sum", row[None, :]) for row in rows[:60]])
    before = claims(system)[-1]
    finish(system, [system.client.submit("sum", row[None, :]) for row in rows])
    sizes = [row.n_rows for row in asked(system, "SELECT claimed_at, n_rows FROM batches") if row.claimed_at > before]
    assert max(sizes) <= 50
    # It is a bound and not a habit of small batches.
    assert max(sizes) >= 10
