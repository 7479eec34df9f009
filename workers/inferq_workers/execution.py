"""What a pool process does with a batch: claim, predict, complete, notify."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from inferq_core import tracing
from inferq_core.broker import Publisher
from inferq_core.errors import BrokerUnavailable
from inferq_core.ids import BatchId, JobId
from inferq_core.logging import get_logger
from inferq_core.messages import Nudge, describe, group
from inferq_core.notify import Notifier
from inferq_core.settings import Settings
from inferq_core.states import ErrorCode, State
from inferq_core.store.contract import Store
from inferq_core.store.records import (
    Claim,
    Completed,
    LogEntry,
    Outcome,
    PendingRef,
)
from inferq_models.catalog import Catalog
from inferq_models.prediction import predict_claim
from inferq_workers.patience import waiting_for_store
from inferq_workers.pulse import Pulse
from inferq_workers.replies import replies

log = get_logger(__name__)

# Failed jobs of one batch that get a log row each; the batch's own row counts all of them.
MAX_LOGGED_FAILURES = 20


class Executor:
    """Runs batches in one pool process."""

    def __init__(  # noqa: PLR0917 - wired in one place
        self,
        store: Store,
        catalog: Catalog,
        publisher: Publisher,
        notifier: Notifier,
        pulse: Pulse,
        settings: Settings,
        worker: str,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._publisher = publisher
        self._notifier = notifier
        self._pulse = pulse
        self._settings = settings
        self._worker = worker

    def run(self, batch_id: BatchId, model: str, job_ids: Sequence[JobId]) -> str:
        """Execute the batch; says in words what happened.

        Raises StoreUnavailable when the store stays away for longer than the default time limit.
        """
        patience, began = self._settings.time_limit, tracing.clock()
        claim = waiting_for_store(
            lambda: self._store.claim(batch_id, job_ids, worker=self._worker, lease=self._settings.lease), patience
        )
        self._pulse.hold(batch_id if claim.jobs else None)
        try:
            self.publish(claim.refused)
            self._report_unknown(batch_id, job_ids, claim)
            if not claim.jobs:
                return f"{describe(model, 0)}: nothing left to do"
            with _batch_span(claim, began):
                with tracing.span("inferq.predict"):
                    outcomes, batch = predict_claim(claim, self._catalog)
                with tracing.span("inferq.complete"):
                    completed = waiting_for_store(lambda: self._store.complete(batch_id, outcomes, batch), patience)
        finally:
            self._pulse.hold(None)
        self._notifier.notify(replies(claim, outcomes, completed, self._worker))
        if completed.n_deliveries:
            self._nudge()
        self._report(claim, outcomes, completed)
        return describe(model, len(completed.ids))

    def recover(self, batch_id: BatchId, job_ids: Sequence[JobId], code: ErrorCode | None, reason: str) -> str:
        """Take the jobs of a dead batch back and publish those that go on.

        A process that died before it claimed anything leaves no batch: the jobs that are still queued go on as well.
        """
        patience = self._settings.time_limit
        if code is None:
            # Not published: whatever went wrong is likely to go wrong again at once. The keeper does it with back-off.
            released = waiting_for_store(
                lambda: self._store.release(batch_id, max_attempts=self._settings.max_attempts), patience
            )
            self._log(batch_id, "batch_released", len(released.requeued), released.failed, reason)
            return f"{len(released.requeued)} jobs released, {len(released.failed)} failed"
        recovered = waiting_for_store(
            lambda: self._store.recover(
                batch_id,
                code=code,
                message=reason,
                max_solo_crashes=self._settings.max_solo_crashes,
                max_attempts=self._settings.max_attempts,
            ),
            patience,
        )
        held = recovered.requeued or recovered.failed
        self.publish(recovered.requeued if held else self._store.queued(job_ids))
        self._log(batch_id, "batch_lost", len(recovered.requeued), recovered.failed, reason)
        return f"{len(recovered.requeued)} jobs requeued, {len(recovered.failed)} failed"

    def publish(self, refs: Sequence[PendingRef]) -> None:
        """Publish jobs again; when the broker is away they are orphans, which the keeper finds."""
        if not refs:
            return
        try:
            self._publisher.publish(group(refs, self._catalog.limits, self._store.store_id))
        except BrokerUnavailable as error:
            log.warning("republish_failed", jobs=len(refs), reason=str(error))

    def _nudge(self) -> None:
        try:
            self._publisher.nudge(Nudge())
        except BrokerUnavailable as error:
            log.warning("nudge_failed", reason=str(error), consequence="deliveries wait until the deliverer looks")

    def _report(self, claim: Claim, outcomes: Sequence[Outcome], completed: Completed) -> None:
        failed = [each for each in outcomes if each.state is State.FAILED and each.id in completed.ids]
        traces = {job.id: job.traceparent for job in claim.jobs} if failed else {}
        entries = [
            LogEntry(
                "error",
                "job_failed",
                {"code": outcome.error_code, "message": outcome.error_message, **_trace(traces.get(outcome.id))},
                model=claim.jobs[0].model,
                version=outcome.version,
                job_id=outcome.id,
                batch_id=claim.batch_id,
                worker=self._worker,
            )
            for outcome in failed[:MAX_LOGGED_FAILURES]
        ]
        entries += self._fenced(claim, [job.id for job in claim.jobs if job.id not in completed.ids])
        if entries:
            self._store.append(entries)

    def _fenced(self, claim: Claim, lost: Sequence[JobId]) -> list[LogEntry]:
        """Why the batch's answers for these jobs were dropped."""
        if not lost:
            return []
        states = self._store.states(lost)
        cancelled = sum(state is State.CANCELLED for state in states.values())
        entries = []
        if cancelled:
            fields = {"jobs": cancelled, "meaning": "they were cancelled while they ran; their answers are dropped"}
            entries.append(LogEntry("info", "jobs_cancelled", fields, batch_id=claim.batch_id, worker=self._worker))
        if len(lost) > cancelled:
            fields = {"jobs": len(lost) - cancelled, "meaning": "the lease was lost; another batch answers them"}
            entries.append(LogEntry("warning", "batch_fenced", fields, batch_id=claim.batch_id, worker=self._worker))
        return entries

    def _report_unknown(self, batch_id: BatchId, job_ids: Sequence[JobId], claim: Claim) -> None:
        if len(claim.jobs) + len(claim.refused) == len(job_ids):
            return
        taken = {job.id for job in claim.jobs} | {ref.id for ref in claim.refused}
        missing = [job_id for job_id in job_ids if job_id not in taken]
        known = self._store.states(missing)
        unknown = [job_id for job_id in missing if job_id not in known]
        if unknown:
            fields = {"jobs": len(unknown), "first": unknown[0]}
            self._store.append([LogEntry("error", "unknown_jobs", fields, batch_id=batch_id, worker=self._worker)])

    def _log(self, batch_id: BatchId, event: str, requeued: int, failed: Sequence[JobId], reason: str) -> None:
        fields = {"requeued": requeued, "failed": len(failed), "reason": reason}
        entries = [LogEntry("warning", event, fields, batch_id=batch_id, worker=self._worker)]
        entries += [
            LogEntry(
                "error",
                "job_quarantined",
                {"reason": reason, **_trace(self._store.life(job_id).traceparent)},
                job_id=job_id,
                batch_id=batch_id,
            )
            for job_id in failed
        ]
        self._store.append(entries)


def _batch_span(claim: Claim, began: float | None) -> AbstractContextManager[None]:
    """From before the claim on: in the trace of the job, or linked to those of the jobs."""
    return tracing.span(
        "inferq.batch",
        (job.traceparent for job in claim.jobs),
        kind=tracing.Kind.CONSUMER,
        began=began,
        batch=claim.batch_id,
        model=claim.jobs[0].model,
        jobs=len(claim.jobs),
    )


def _trace(traceparent: str | None) -> dict[str, str]:
    return {} if traceparent is None else {"traceparent": traceparent}
