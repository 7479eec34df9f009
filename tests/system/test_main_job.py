"""The main job with real processes: every accepted id ends once, with the answer that the model gives offline."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from checks import assert_each_succeeded_once, finish, register_model, rows_for
from harness import freeze, wait_for
from misbehaving import POISON, Killer, Raiser, Slow, SlowRows, Stuck

from inferq import JobFailed, State
from inferq_core.ids import new_job_id
from inferq_core.messages import Limits
from inferq_core.store.records import PendingRef
from inferq_models.examples import digits

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_predictions_equal_the_offline_ones(any_system):
    example = digits.build()
    register_model(any_system, "digits", example.estimator, example.X_train[:50])
    any_system.start_worker()
    jobs = any_system.client.submit_many("digits", example.X_test)
    results = finish(any_system, jobs)
    offline = example.estimator.predict(example.X_test)
    assert [results[job.id].outputs for job in jobs] == [[label] for label in offline.tolist()]
    assert max(result.batch_rows for result in results.values()) > 1


def test_one_job_of_many_rows_is_predicted_in_slices(system):
    register_model(system, "sum", Raiser())
    system.start_worker()
    rows = rows_for(700)
    result = system.client.submit("sum", rows).result(timeout=60)
    assert result.outputs == rows.sum(axis=1).tolist()


def test_a_worker_killed_twice_loses_nothing(any_system):
    register_model(any_system, "sum", SlowRows(0.0025))
    any_system.start_keeper()
    rows = rows_for(5000)
    jobs = any_system.client.submit_many("sum", rows)
    for share in (0.1, 0.3):
        worker = any_system.start_worker()
        wait_for(lambda share=share: done(any_system, jobs) > share * len(jobs), timeout=60, what="some results")
        any_system.kill(worker)
    assert done(any_system, jobs) < len(jobs)
    any_system.start_worker()
    assert_each_succeeded_once(any_system, jobs, rows)


def done(system, jobs):
    return sum(state.terminal for state in system.states(jobs).values())


def assert_logged_with_the_trace(system, job, event):
    """Workers write of a job after its result."""
    [entry] = wait_for(
        lambda: [entry for _, entry in system.store.read(job_id=job.id) if entry.event == event],
        timeout=30,
        what=f"the log's {event}",
    )
    assert entry.fields["traceparent"] == TRACE


def test_a_wiped_broker_loses_nothing(any_system):
    register_model(any_system, "sum", Raiser())
    rows = rows_for(2000)
    jobs = any_system.client.submit_many("sum", rows)
    any_system.broker.client.flushall()
    any_system.start_keeper()
    any_system.start_worker()
    assert_each_succeeded_once(any_system, jobs, rows, timeout=60)


def test_a_message_lost_between_fetching_and_claiming_is_published_again(system):
    register_model(system, "sum", Raiser())
    rows = rows_for(3)
    jobs = [system.client.submit("sum", row[None, :]) for row in rows]
    keys = [key for key in system.broker.client.scan_iter() if system.broker.client.type(key) == b"list"]
    assert sum(system.broker.client.rpop(key) is not None for key in keys) == 1
    system.start_keeper()
    system.start_worker()
    assert_each_succeeded_once(system, jobs, rows)


def test_a_job_that_kills_its_process_fails_alone(any_system):
    register_model(any_system, "sum", Killer())
    rows = rows_for(256)
    rows[100, 0] = POISON
    jobs = any_system.client.submit_many("sum", rows)
    worker = any_system.start_worker()
    finish(any_system, [job for index, job in enumerate(jobs) if index != 100])
    with pytest.raises(JobFailed) as caught:
        jobs[100].result(timeout=60)
    assert caught.value.code == "worker_lost"
    assert any_system.deaths(worker) <= 10
    assert worker.poll() is None


def test_a_job_that_never_ends_fails_alone_at_the_time_limit(system):
    register_model(system, "sum", Stuck(), time_limit=1.0)
    rows = rows_for(4)
    rows[2, 0] = POISON
    jobs = system.client.submit_many("sum", rows, traceparent=TRACE)
    system.start_worker()
    finish(system, [jobs[0], jobs[1], jobs[3]])
    with pytest.raises(JobFailed) as caught:
        jobs[2].result(timeout=60)
    assert caught.value.code == "time_limit"
    assert_logged_with_the_trace(system, jobs[2], "job_quarantined")


def test_a_row_that_makes_predict_raise_fails_alone(any_system):
    register_model(any_system, "sum", Raiser())
    rows = rows_for(200)
    rows[77, 0] = POISON
    jobs = any_system.client.submit_many("sum", rows, traceparent=TRACE)
    any_system.start_worker()
    results = finish(any_system, [job for index, job in enumerate(jobs) if index != 77])
    assert len(results) == 199
    with pytest.raises(JobFailed, match="cannot digest this row") as caught:
        jobs[77].result(timeout=30)
    assert caught.value.code == "model_error"
    assert_logged_with_the_trace(any_system, jobs[77], "job_failed")


def test_a_tampered_artifact_fails_its_jobs_and_not_the_worker(system):
    register_model(system, "sum", Raiser())
    register_model(system, "good", Raiser(), rows=rows_for(7))
    artifact = next((system.settings.home_path / "artifacts" / "sum").iterdir())
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.chmod(0o600)
    artifact.write_bytes(bytes(data))
    worker = system.start_worker()
    with pytest.raises(JobFailed) as caught:
        system.client.submit("sum", rows_for(1)).result(timeout=60)
    assert caught.value.code == "artifact_rejected"
    assert system.client.submit("good", rows_for(1)).result(timeout=60).outputs
    assert worker.poll() is None


def test_a_warm_shutdown_finishes_the_batch_and_gives_back_the_rest(any_system):
    register_model(any_system, "sum", Slow(0.5), max_batch_rows=10)
    rows = rows_for(120)
    jobs = [any_system.client.submit("sum", row[None, :]) for row in rows]
    worker = any_system.start_worker()
    wait_for(lambda: running_jobs(any_system, jobs), timeout=60, what="a batch in flight")
    assert any_system.stop(worker) == 0
    states = any_system.states(jobs)
    assert State.RUNNING not in states.values()
    assert State.SUCCEEDED in states.values()
    assert any_system.store.workers(seen_within=60) == []
    assert sum(any_system.broker.client.llen(key) for key in any_system.broker.client.keys("predictions*")) > 0
    any_system.start_worker()
    results = assert_each_succeeded_once(any_system, jobs, rows)
    assert {result.attempt for result in results.values()} == {1}


def running_jobs(system, jobs):
    return State.RUNNING in system.states(jobs).values()


def test_a_connection_cut_in_the_middle_of_a_batch_loses_nothing(any_system):
    register_model(any_system, "sum", Slow(0.5), max_batch_rows=10)
    any_system.start_keeper()
    rows = rows_for(100)
    jobs = [any_system.client.submit("sum", row[None, :]) for row in rows]
    worker = any_system.start_worker()
    wait_for(lambda: running_jobs(any_system, jobs), timeout=60, what="a batch in flight")
    any_system.broker.client.client_kill_filter(_type="normal", skipme=True)
    assert_each_succeeded_once(any_system, jobs, rows)
    assert "Connection to broker lost" in worker.log.read_text()
    assert worker.poll() is None


def test_a_restarted_broker_is_waited_for(system):
    register_model(system, "sum", Slow(0.5), max_batch_rows=10)
    system.start_keeper()
    rows = rows_for(100)
    jobs = [system.client.submit("sum", row[None, :]) for row in rows]
    worker = system.start_worker()
    wait_for(lambda: running_jobs(system, jobs), timeout=60, what="a batch in flight")
    system.broker.stop()
    system.broker.start()
    assert_each_succeeded_once(system, jobs, rows)
    assert worker.poll() is None


def test_a_frozen_process_loses_its_lease_and_answers_nothing(system):
    register_model(system, "sum", Slow(4.0))
    system.start_keeper()
    worker = system.start_worker()
    processes = system.pool_processes(worker)
    rows = rows_for(1)
    job = system.client.submit("sum", rows)
    wait_for(lambda: job.state() is State.RUNNING, timeout=60, what="the batch in flight")
    freeze(system, processes)
    wait_for(lambda: job.state() is State.QUEUED, timeout=60, what="the lease to run out")
    for process in processes:
        process.resume()
    results = assert_each_succeeded_once(system, [job], rows)
    assert results[job.id].attempt == 2


def test_a_message_that_comes_twice_is_answered_once(system):
    register_model(system, "sum", Raiser())
    rows = rows_for(50)
    jobs = [system.client.submit("sum", row[None, :]) for row in rows]
    for key in system.broker.client.keys("predictions*"):
        system.broker.client.rpush(key, *system.broker.client.lrange(key, 0, -1))
    system.start_worker()
    results = assert_each_succeeded_once(system, jobs, rows)
    assert {result.attempt for result in results.values()} == {1}


def test_a_new_version_is_used_without_a_restart(system):
    register_model(system, "sum", Raiser())
    system.start_worker()
    assert system.client.submit("sum", rows_for(1)).result(timeout=60).version == 1
    register_model(system, "sum", Slow(0.0))
    wait_for(
        lambda: system.client.submit("sum", rows_for(1)).result(timeout=30).version == 2, timeout=30, what="version 2"
    )
    assert system.client.submit("sum", rows_for(1), version=1).result(timeout=30).version == 1


def test_messages_that_are_not_ours_are_set_aside(system):
    register_model(system, "sum", Raiser())
    store_id = system.store.store_id
    publish(system, "another-store", new_job_id())
    publish(system, store_id, new_job_id())  # an id that was never issued
    worker = system.start_worker()
    assert system.client.submit("sum", rows_for(1)).result(timeout=60).outputs
    wait_for(lambda: system.broker.client.llen("inferq.set-aside") == 1, timeout=30, what="the foreign message")
    wait_for(lambda: any(entry.event == "unknown_jobs" for _, entry in system.store.read()), timeout=30, what="the log")
    assert worker.poll() is None


def publish(system, store_id, job_id):
    from inferq_core.broker import Publisher
    from inferq_core.messages import group
    from inferq_core.states import Priority

    ref = PendingRef(job_id, "sum", "predictions", Priority.NORMAL, 1, None, 0.0)
    publisher = Publisher(system.settings.broker)
    publisher.publish(group([ref], lambda _: Limits(10, 10.0), store_id))
    publisher.close()


def test_the_plain_celery_command_works_and_takes_unmerged_tasks(system):
    register_model(system, "sum", Raiser())
    environment = {**os.environ, **system.settings.environment(), "PYTHONPATH": str(Path(__file__).parent)}
    job = system.client.submit("sum", rows_for(1))
    system.broker.client.flushall()  # only the message below stands for the job
    send = (
        "from inferq_workers.app import app; "
        f"app.send_task('inferq.predict', ('sum', ['{job.id}']), countdown=0.5, queue='predictions')"
    )
    subprocess.run([sys.executable, "-c", send], env=environment, check=True)
    log = (system.folder / "celery.log").open("w")
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "inferq_workers.app", "worker", "-c", "1", "-Q", "predictions"],
        env=environment,
        stdout=log,
        stderr=log,
    )
    try:
        assert job.result(timeout=60).outputs == [float(np.sum(rows_for(1)))]
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0


def test_queued_without_a_worker(system):
    register_model(system, "sum", Raiser())
    assert system.client.submit("sum", rows_for(1)).state() is State.QUEUED


def test_a_process_that_dies_before_it_claims_delays_its_jobs_only_a_little(system):
    register_model(system, "sum", Raiser())
    rows = rows_for(20)
    jobs = [system.client.submit("sum", row[None, :]) for row in rows]
    # No keeper runs: without the recovery nobody would publish these jobs again.
    worker = system.start_worker(INFERQ_TEST_DIE_BEFORE_CLAIM=str(system.folder / "died"))
    assert_each_succeeded_once(system, jobs, rows)
    assert system.deaths(worker) == 1


def test_a_message_lost_under_load_is_published_again(system):
    """The queue is never silent here: that its place in the queue has passed is what tells."""
    register_model(system, "sum", Raiser())
    register_model(system, "slow", Slow(0.4), max_batch_rows=1)
    rows = rows_for(1)
    job = system.client.submit("sum", rows)
    assert sum(system.broker.client.rpop(key) is not None for key in system.broker.client.keys("predictions*")) == 1
    load = [system.client.submit("slow", rows) for _ in range(30)]
    system.start_keeper()
    system.start_worker()

    def more_load_until_published_again():
        if system.store.counts().get(("slow", State.QUEUED), 0) < 20:  # enough for a while
            load.append(system.client.submit("slow", rows))
        return any(entry.fields.get("republished") for _, entry in system.store.read() if entry.event == "sweep")

    wait_for(more_load_until_published_again, timeout=60, what="the job published again")
    assert State.QUEUED in system.states(load).values(), "the load went on all the time"
    result = job.result(timeout=60)
    assert (result.outputs, result.attempt) == ([float(rows.sum())], 1)
    finish(system, load)


def test_a_store_that_is_away_is_not_blamed_on_the_job(system):
    register_model(system, "sum", Slow(0.5), time_limit=2.0)
    worker = system.start_worker()
    system.start_keeper()
    rows = rows_for(1)
    job = system.client.submit("sum", rows)
    wait_for(lambda: job.state() is State.RUNNING, timeout=60, what="the batch in flight")
    with sqlite3.connect(system.settings.home_path / "inferq.db", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        wait_for(lambda: "Hard time limit" in worker.log.read_text(), timeout=60, what="the time limit")
        writer.execute("ROLLBACK")
    results = assert_each_succeeded_once(system, [job], rows)
    assert results[job.id].attempt > 1
    assert any(entry.event == "batch_released" for _, entry in system.store.read())


def test_artifacts_that_cannot_be_reached_end_their_jobs(system):
    register_model(system, "sum", Raiser())
    worker = system.start_worker(INFERQ_ARTIFACTS_URL="nosuch://bucket/models")
    with pytest.raises(JobFailed, match="INFERQ_ARTIFACTS_URL") as caught:
        system.client.submit("sum", rows_for(1)).result(timeout=60)
    assert caught.value.code == "artifact_rejected"
    assert worker.poll() is None


def test_a_keeper_without_its_beat_ends(system):
    keeper = system.start_keeper()
    beat = wait_for(lambda: psutil.Process(keeper.pid).children(), timeout=60, what="beat")[0]
    beat.kill()
    assert keeper.wait(60) != 0
