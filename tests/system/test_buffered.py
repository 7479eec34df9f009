"""What a worker holds back stands for its jobs for as long as that takes."""

from checks import assert_each_succeeded_once, register_model, rows_for
from harness import wait_for
from misbehaving import Slow

JOBS = 12


def test_jobs_that_wait_behind_a_slow_model_are_not_published_again(any_system):
    register_model(any_system, "sum", Slow(1.5), max_batch_rows=1)
    any_system.start_keeper()
    any_system.start_worker()
    wait_for(lambda: any_system.store.workers(seen_within=10), timeout=60, what="the worker's heartbeat")
    rows = rows_for(JOBS)
    jobs = [any_system.client.submit("sum", row[None, :]) for row in rows[:-1]]
    # well past `orphan_after`, something newer is received
    wait_for(lambda: waited(any_system, jobs), timeout=60, what="a third of the jobs")
    jobs.append(any_system.client.submit("sum", rows[-1][None, :]))
    assert_each_succeeded_once(any_system, jobs, rows)
    sweeps = [entry.fields for _, entry in any_system.store.read() if entry.event == "sweep"]
    assert sum(fields["republished"] for fields in sweeps) == 0


def waited(system, jobs):
    return sum(state.terminal for state in system.states(jobs).values()) >= len(jobs) // 2
