"""A rollout in real workers: who meets what, also of what waited in the queue before."""

from checks import finish, register_model, rows_for
from harness import wait_for
from misbehaving import Raiser

from inferq_core.ids import routing_hash
from inferq_models.routing import place


def answered_by(system, **options):
    """The version and the variant that answer a job now."""
    result = system.client.submit("sum", rows_for(1), **options).result(timeout=60)
    return result.version, result.variant


def until_answered_by(system, version, variant):
    """Processes believe what they have read for a second."""
    answers = [False] * 20  # those of both processes

    def settled():
        answers[:] = [*answers[1:], answered_by(system) == (version, variant)]
        return all(answers)

    wait_for(settled, timeout=60, what=f"version {version} to answer")


def test_a_rollout_counts_when_jobs_run(any_system):
    system, store = any_system, any_system.store
    for _ in range(2):
        register_model(system, "sum", Raiser())
    store.set_alias("sum", "champion", 1)
    keys = [f"customer-{number % 60}" for number in range(180)]
    jobs = [system.client.submit("sum", rows_for(1), routing_key=key) for key in keys]
    # All of them wait, and for the champion, when the rollout begins.
    store.put_rollout("sum", "2", 400, by="test")
    system.start_worker()
    finish(system, jobs)
    results = store.results([job.id for job in jobs])
    by_batch = {}
    for key, job in zip(keys, jobs, strict=True):
        result = results[job.id]
        expected = (2, "canary") if place(routing_hash(key), "sum") < 400 else (1, "primary")
        assert (result.version, result.variant) == expected
        by_batch.setdefault(result.batch_id, set()).add(result.variant)
    assert {"primary", "canary"} in by_batch.values(), "one claim serves both"
    assert answered_by(system, version=2) == (2, None), "who names a version is no part of it"

    store.put_rollout("sum", "2", 1000, by="test")
    until_answered_by(system, 2, "canary")
    store.end_rollout("sum", by="test")
    until_answered_by(system, 1, "primary")
