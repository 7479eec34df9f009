"""Celery's request, with what must happen when the process that ran a batch is gone."""

from __future__ import annotations

from typing import Any

from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker.request import Request

from inferq_core.states import ErrorCode

RECOVER_TASK = "inferq.recover"


class BatchRequest(Request):
    """A batch in the pool. When it fails, a recovery request releases its claims by its id, which is the batch id."""

    batcher: Any = None
    batch: Any = None  # until the batcher is told that it ended
    begun = 0.0  # by the clock `time.monotonic`
    _recovered = False

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:  # noqa: FBT001, FBT002
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        if self.batcher is None:
            return  # an unmerged task: the lease of its batch runs out
        self.batcher.ended(self, None)
        error = exc_info.exception
        error = getattr(error, "exc", error)
        if isinstance(error, TimeLimitExceeded) and not self.batcher.is_computing(self.worker_pid):
            # It is not the model that takes so long.
            self._recover(None, "the store did not answer within the batch's time limit")
        elif isinstance(error, TimeLimitExceeded):
            self._recover(ErrorCode.TIME_LIMIT, f"the batch took longer than its time limit of {self.time_limits[0]} s")
        elif isinstance(error, (WorkerLostError, SystemExit)):
            self._recover(ErrorCode.WORKER_LOST, f"the process that ran it died: {error}")
        else:
            self._recover(None, f"{type(error).__name__}: {error}")

    def _recover(self, code: ErrorCode | None, reason: str) -> None:
        # Celery reports one death through several callbacks.
        if not self._recovered:
            self._recovered = True
            _, job_ids = self.args
            self.batcher.recover(self.id, job_ids, code, reason)


def measured(request_class: type[BatchRequest]) -> type[BatchRequest]:
    """`request_class`, telling its batcher how long a batch took that succeeded.

    Celery's optimised request class calls nothing of its base on success, so this goes on top.
    """

    class MeasuredRequest(request_class):  # type: ignore[valid-type,misc]
        def on_success(self, failed__retval__runtime: tuple[bool, Any, float], **kwargs: Any) -> None:
            super().on_success(failed__retval__runtime, **kwargs)
            failed, _, seconds = failed__retval__runtime
            if not failed:
                self.batcher.ended(self, seconds)

    return MeasuredRequest
