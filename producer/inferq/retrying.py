"""Running jobs once more: new jobs of the same inputs, that point back. What memory holds is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from inferq.catalog import Catalog
from inferq.intake import Intake
from inferq_core.ids import JobId
from inferq_core.states import ErrorCode, State
from inferq_core.store.contract import Store

# Jobs that are looked at, and retried, together.
PAGE_JOBS = 500


@dataclass(frozen=True, slots=True)
class Retried:
    """`new`: the job that retries `old`. `fresh`: it was made now, and not by an earlier retry."""

    old: JobId
    new: JobId
    fresh: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Jobs that have ended, by what `Store.newest` can tell, and by how they failed."""

    state: State
    model: str | None = None
    since: float | None = None
    code: ErrorCode | None = None


class Retrier:
    """Retries jobs on behalf of a client, or of nobody who waits."""

    def __init__(self, store: Store, catalog: Catalog, intake: Intake, reply_to: Callable[[], str | None]) -> None:
        self._store = store
        self._catalog = catalog
        self._intake = intake
        self._reply_to = reply_to

    def retry(self, job_ids: Sequence[JobId]) -> Iterator[list[Retried]]:
        """Retry the jobs, a transaction for each list. One that was retried before is answered with that job.

        Raises UnknownJob and JobUnfinished; the jobs before are retried then.
        """
        left = list(job_ids)
        while left:
            copies = self._store.copies(left[:PAGE_JOBS])
            queues = {model: self._catalog.queue(model) for model in {copy.model for copy in copies}}
            jobs = [copy._replace(queue=queues[copy.model], reply_to=self._reply_to()) for copy in copies]
            answers = self._intake.accept(jobs)
            yield [
                Retried(old, answer, answer == job.id) for old, job, answer in zip(left, jobs, answers, strict=False)
            ]
            left = left[len(copies) :]

    def matching(self, choice: Choice) -> Iterator[list[JobId]]:
        """Those that match and were not retried yet, page by page, the newest first."""
        before: JobId | None = None
        while True:
            page = self._store.newest(
                model=choice.model, state=choice.state, since=choice.since, before=before, limit=PAGE_JOBS
            )
            ids = [job.id for job in page.jobs if choice.code in (None, job.error_code)]
            done = self._store.retries(ids)
            if ids:
                yield [job_id for job_id in ids if job_id not in done]
            if page.reached is None:
                return
            before = page.reached
