"""What the keeper does by itself with what has ended, and what a pool process may take."""

from checks import finish, register_model, rows_for
from harness import running, wait_for
from misbehaving import POISON, Eater

from inferq import ErrorCode, State
from inferq_core.ids import NumberedIds
from inferq_core.store.records import NewJob

DAY = 86_400


def test_the_keeper_purges_what_is_older_than_the_setting(tmp_path, redis_binary):
    with running(tmp_path, redis_binary, None, retention_days=30) as system:
        made = NumberedIds(b"test", int((system.store.now() - 31 * DAY) * 1000))
        ids = [made.at(number) for number in range(1_200)]
        new = NumberedIds(b"test", int(system.store.now() * 1000)).at(0)
        for some in (ids[:700], ids[700:], [new]):
            system.store.accept([NewJob(job_id, "sum", 1, "[[1.0]]", "nobody") for job_id in some])
        system.store.cancel([*ids[1:], new])

        def long_ago(connection):
            connection.exec_driver_sql(
                f"UPDATE results SET completed_at = completed_at - 31 * {DAY} WHERE id <> '{new}'"
            )

        system.store._database.write(long_ago)
        system.start_keeper()
        wait_for(lambda: len(system.store.states(ids)) == 1, timeout=60, what="the purge")
        assert system.store.states([*ids, new]) == {ids[0]: State.QUEUED, new: State.CANCELLED}
        (entry,) = wait_for(
            lambda: [entry for _, entry in system.store.read() if entry.event == "purge"], timeout=30, what="its log"
        )
        assert (entry.fields["jobs"], entry.fields["results"]) == (1_199, 1_199)


LIMIT_MIB = 600


def test_a_job_that_eats_memory_fails_alone(tmp_path, redis_binary):
    """Sixty-four rows of 8 MiB fit one by one, and not together; the poison never fits."""
    with running(tmp_path, redis_binary, None, memory_limit_mib=LIMIT_MIB) as system:
        register_model(system, "sum", Eater())
        rows = rows_for(65)
        rows[30, 0] = POISON
        jobs = system.client.submit_many("sum", rows)
        worker = system.start_worker()
        results = {done.id: system.client.result(done.id) for done in system.client.as_completed(jobs, timeout=120)}
        poisoned = results.pop(jobs[30].id)
        assert (poisoned.state, poisoned.error_code) == (State.FAILED, ErrorCode.MODEL_ERROR)
        assert poisoned.error_message.startswith("MemoryError")
        assert {result.state for result in results.values()} == {State.SUCCEEDED}
        assert {result.attempt for result in results.values()} == {1}
        assert system.deaths(worker) == 0


def test_a_process_that_has_grown_is_replaced_after_its_batch(tmp_path, redis_binary):
    with running(tmp_path, redis_binary, None, memory_limit_mib=LIMIT_MIB) as system:
        register_model(system, "sum", Eater())
        worker = system.start_worker()
        before = {process.pid for process in system.pool_processes(worker)}
        row = rows_for(1)
        assert system.client.submit("sum", row).result(timeout=60).outputs
        assert {process.pid for process in system.pool_processes(worker)} == before
        system.client.submit("sum", rows_for(40)).result(timeout=60)
        wait_for(
            lambda: {process.pid for process in system.pool_processes(worker)} != before, timeout=60, what="another"
        )
        finish(system, system.client.submit_many("sum", rows_for(50)))
        assert system.deaths(worker) == 0


def test_a_limit_that_no_process_can_live_with_is_refused_at_the_start(tmp_path, redis_binary):
    with running(tmp_path, redis_binary, None, memory_limit_mib=100) as system:
        worker = system.start_worker()
        assert worker.wait(60) == 2
        assert "INFERQ_MEMORY_LIMIT_MIB=100" in worker.log.read_text()
