"""What the keeper does by itself with what has ended."""

from harness import running, wait_for

from inferq import State
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
