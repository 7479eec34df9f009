"""What tests of the store begin with, in the design's words."""

from sqlalchemy import update

from inferq_core.ids import new_batch_id, new_job_id
from inferq_core.states import State
from inferq_core.store.records import BatchLog, NewJob, Outcome, WorkerBeat
from inferq_core.store.tables import pending

LOG = BatchLog(n_jobs=1, n_rows=1, predict_seconds=0.25)


def new_job(**options):
    defaults = {"id": new_job_id(), "model": "digits", "n_rows": 1, "inputs": "[[1.0]]", "queue": "predictions"}
    return NewJob(**(defaults | options))


def accepted(store, n=1, **options):
    """Ids of `n` queued jobs."""
    return list(store.accept([new_job(**options) for _ in range(n)]).ids)


def claimed(store, n=1, *, lease=60.0, **options):
    """A batch that holds `n` jobs. A negative lease ran out already."""
    batch_id = new_batch_id()
    claim = store.claim(batch_id, accepted(store, n, **options), worker="worker-1", lease=lease)
    assert len(claim.jobs) == n
    return batch_id, [job.id for job in claim.jobs]


def claim_again(store, job_ids, *, lease=60.0):
    batch_id = new_batch_id()
    return batch_id, store.claim(batch_id, job_ids, worker="worker-2", lease=lease)


def succeeded(job_id, outputs="[7]"):
    return Outcome(id=job_id, state=State.SUCCEEDED, outputs=outputs, version=1, batch_rows=1, predict_seconds=0.25)


def finished(store, n=1, **options):
    """Ids of `n` jobs with a result."""
    batch_id, ids = claimed(store, n, **options)
    assert store.complete(batch_id, [succeeded(id_) for id_ in ids], LOG).ids == set(ids)
    return ids


def published(store, job_ids, *, seconds_ago):
    """As if the messages of these jobs had been published earlier."""
    change = update(pending).where(pending.c.id.in_(job_ids)).values(published_at=pending.c.published_at - seconds_ago)
    store._database.write(lambda connection: connection.execute(change))


def beat(name="worker-1", *, pid=1, marks=None, buffered=None, oldest=None, costs=None):
    return WorkerBeat(
        name=name,
        host="host-1",
        pid=pid,
        queues=("predictions",),
        concurrency=2,
        marks=marks or {},
        buffered=buffered or {},
        oldest=oldest or {},
        costs=costs or {},
    )
