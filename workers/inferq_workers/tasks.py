"""The Celery tasks: thin, what they do is in `execution` and `keeper`.

`process` brings scikit-learn. A keeper and Flower need these tasks' names only, so it is imported where it is used; a
worker has it before its pool forks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery

from inferq_core.broker import Publisher
from inferq_core.ids import BatchId, JobId, new_batch_id
from inferq_core.messages import DELIVER_TASK, PREDICT_TASK
from inferq_core.states import ErrorCode
from inferq_core.store import open_store
from inferq_workers.keeper import Keeper
from inferq_workers.request import RECOVER_TASK, BatchRequest

SWEEP_TASK = "inferq.sweep"
PREPARE_TASK = "inferq.prepare"


def register_tasks(app: Celery) -> None:
    """Give `app` the tasks of inferq."""
    keeper: Keeper | None = None

    @app.task(name=PREDICT_TASK, bind=True, Strategy="inferq_workers.intake:strategy", Request=BatchRequest)
    def predict(self: Any, model: str, job_ids: Sequence[JobId]) -> str:
        """Answer the jobs. Its own id is the batch id, so it works unmerged as well."""
        from inferq_workers import process  # noqa: PLC0415 - see above

        return process.executor(app.inferq).run(BatchId(self.request.id or new_batch_id()), model, job_ids)

    @app.task(name=RECOVER_TASK)
    def recover(batch_id: BatchId, job_ids: Sequence[JobId], code: str | None, reason: str) -> str:
        """Take the jobs of a dead batch back."""
        from inferq_workers import process  # noqa: PLC0415 - see above

        return process.executor(app.inferq).recover(
            batch_id, job_ids, None if code is None else ErrorCode(code), reason
        )

    def the_keeper() -> Keeper:
        nonlocal keeper
        if keeper is None:
            settings = app.inferq.settings
            keeper = Keeper(open_store(settings), Publisher(settings.broker), settings, app.inferq.worker)
        return keeper

    # Without events: a sweep every few seconds would push the batches out of Flower's history.
    @app.task(name=SWEEP_TASK, send_events=False)
    def sweep() -> dict[str, int]:
        return the_keeper().sweep()

    @app.task(name=PREPARE_TASK, send_events=False)
    def prepare() -> None:
        the_keeper().prepare()

    @app.task(name=DELIVER_TASK, send_events=False)
    def deliver() -> None:
        """Look into the outbox now. The sending is done beside the pool: a receiver that hangs holds up no task."""
        if app.deliverer is not None:
            app.deliverer.wake()
