"""Jobs that are taken back while real workers run."""

import pytest
from checks import finish, register_model, rows_for
from harness import wait_for
from misbehaving import Raiser, Slow

from inferq import ErrorCode, JobFailed, State


def test_a_queued_job_never_runs(any_system):
    register_model(any_system, "sum", Raiser())
    cancelled, other = any_system.client.submit_many("sum", rows_for(2))
    assert cancelled.cancel() is True
    any_system.start_worker()
    finish(any_system, [other])
    assert any_system.store.counts() == {("sum", State.SUCCEEDED): 1, ("sum", State.CANCELLED): 1}
    assert any_system.client.result(cancelled.id).attempt == 0


def test_the_answer_of_a_running_job_is_dropped(any_system):
    register_model(any_system, "sum", Slow(3.0))
    any_system.start_worker()
    job, other = (any_system.client.submit("sum", row[None, :]) for row in rows_for(2))
    wait_for(lambda: job.state() is State.RUNNING, timeout=60, what="the job in a batch")
    assert job.cancel() is True
    with pytest.raises(JobFailed) as caught:
        job.result(timeout=60)
    assert caught.value.code is ErrorCode.CANCELLED
    finish(any_system, [other])
    # The worker is done with the cancelled job's batch: it says that it drops the answer, and goes on.
    dropped = wait_for(lambda: logged(any_system, "jobs_cancelled"), timeout=60, what="the answer dropped")
    assert dropped.fields["jobs"] == 1
    after = any_system.client.submit("sum", rows_for(1))
    finish(any_system, [after])
    result = any_system.client.result(job.id)
    assert (result.state, result.outputs, result.attempt) == (State.CANCELLED, None, 1)
    assert not logged(any_system, "batch_fenced")
    counts = {("sum", State.SUCCEEDED): 2, ("sum", State.CANCELLED): 1}
    assert any_system.store.counts() == counts


def logged(system, event):
    return next((entry for _, entry in system.store.read() if entry.event == event), None)
