"""Running jobs once more: new jobs of the same inputs, that point back. What memory holds is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from inferq.admission import Admission
from inferq.catalog import Catalog
from inferq.intake import Intake
from inferq_core.ids import JobId
from inferq_core.states import ErrorCode, State
from inferq_core.store.contract import Store
from inferq_core.store.records import NewJob

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
    """Retries jobs on behalf of a client, or of nobody who waits. One that was retried before takes no room."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        intake: Intake,
        admission: Admission,
        reply_to: Callable[[], str | None],
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._intake = intake
        self._admission = admission
        self._reply_to = reply_to

    def retry_all(self, job_ids: Sequence[JobId]) -> list[Retried]:
        """Retry all of the jobs or none. One that was retried before is answered with that job.

        Raises UnknownJob, JobUnfinished, and BacklogFull when there is no room for all of them.
        """
        ids = list(dict.fromkeys(job_ids))
        first = self._copies(ids)
        later = ids[len(first) :]
        # Read again when they are stored: the inputs of all may be more than memory should hold.
        outlines = {job.retry_of: job._replace(inputs="") for jobs in self._pages(later) for job in jobs}
        with self._admission.entering(self._fresh([*first, *outlines.values()])):
            retried = self._accept(first)
            for jobs in self._pages(later):
                retried += self._accept([job._replace(id=outlines[job.retry_of].id) for job in jobs])
        by_old = {one.old: one for one in retried}
        return [by_old[job_id] for job_id in job_ids]

    def retry_some(self, job_ids: Sequence[JobId]) -> list[Retried]:
        """Retry the first of the jobs, in one transaction: as many as memory should hold and there is room for.

        Raises UnknownJob, JobUnfinished, and BacklogFull when there is no room for the first that needs some.
        """
        jobs = self._copies(job_ids)
        fresh = self._fresh(jobs)
        fitting = self._admission.fitting(fresh)
        if fitting < len(fresh):
            jobs = jobs[: jobs.index(fresh[fitting])]
        with self._admission.entering(fresh[:fitting]):
            return self._accept(jobs)

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

    def _pages(self, job_ids: Sequence[JobId]) -> Iterator[list[NewJob]]:
        done = 0
        while done < len(job_ids):
            jobs = self._copies(job_ids[done : done + PAGE_JOBS])
            done += len(jobs)
            yield jobs

    def _copies(self, job_ids: Sequence[JobId]) -> list[NewJob]:
        """The first of the jobs, ready to be accepted as new ones."""
        copies = self._store.copies(job_ids[:PAGE_JOBS])
        queues = {model: self._catalog.queue(model) for model in {copy.model for copy in copies}}
        return [copy._replace(queue=queues[copy.model], reply_to=self._reply_to()) for copy in copies]

    def _fresh(self, jobs: Sequence[NewJob]) -> list[NewJob]:
        """Those whose old jobs were not retried yet."""
        done: set[JobId] = set()
        for start in range(0, len(jobs), PAGE_JOBS):
            done |= self._store.retries([_old(job) for job in jobs[start : start + PAGE_JOBS]]).keys()
        return [job for job in jobs if _old(job) not in done]

    def _accept(self, jobs: Sequence[NewJob]) -> list[Retried]:
        answers = self._intake.accept(jobs)
        return [Retried(_old(job), answer, answer == job.id) for job, answer in zip(jobs, answers, strict=True)]


def _old(job: NewJob) -> JobId:
    assert job.retry_of is not None
    return job.retry_of
