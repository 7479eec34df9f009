"""The client: enqueue predictions, ask for their state, wait for their results, tell the truth about them later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeAlias, Unpack

from inferq.admission import Admission
from inferq.bulk import blocks, chunks, items_of
from inferq.catalog import Catalog, Target
from inferq.commit import GroupCommit
from inferq.intake import Doorbell, Intake
from inferq.job import Handle, Job, Result, id_of, result_of
from inferq.options import ManyOptions, SubmitOptions, check_options, payload_digest
from inferq.retrying import Retrier
from inferq.waiting import POLL_WINDOW, Waiter
from inferq_core.broker import Publisher
from inferq_core.errors import InvalidInput, SettingsError, WaitTimeout
from inferq_core.ids import JobId, new_job_id, routing_hash
from inferq_core.notify import Notifier
from inferq_core.policy.admission import Request as Wanted
from inferq_core.receivers import parse_receiver
from inferq_core.settings import Settings, load_settings
from inferq_core.signature import CheckedRows
from inferq_core.states import Method, Priority, State
from inferq_core.store import open_store
from inferq_core.store.contract import Store
from inferq_core.store.jobs import unknown_job
from inferq_core.store.records import NewJob, StoredResult
from inferq_core.store.retrying import unfinished

# Jobs of concurrent submits that share one transaction.
GROUP_JOBS = 500

# One call of `submit`: model, rows, options.
Request: TypeAlias = tuple[str, Any, SubmitOptions]


class Client:
    """The way in for applications. Make one per process and share it: it is safe for threads (not across a fork).

    Settings come from `settings`, or from INFERQ_* and the defaults; keyword arguments override single ones
    (`Client(store_url=…)`). Use it as a context manager, or call `close()`. Methods raise StoreUnavailable when the
    database does not answer; a broker that is away delays jobs and loses none.
    """

    def __init__(self, settings: Settings | None = None, *, store: Store | None = None, **overrides: Any) -> None:
        if settings is not None and overrides:
            raise SettingsError(f"give either settings or single ones ({', '.join(overrides)}), not both")
        self.settings = settings or load_settings(**overrides)
        self._owns_store = store is None
        self._store = open_store(self.settings) if store is None else store
        self._publisher = self._doorbell()
        self._catalog = Catalog(self._store, self.settings)
        self._admission = Admission(self._store, self.settings, self._catalog.max_backlog)
        self._waiter = Waiter(self._store, self.settings.broker)
        self._notifier = Notifier(self.settings.broker)
        self._intake = Intake(self._store, self._publisher, self._catalog.limits, self._admission.count)
        self._retrier = Retrier(
            self._store, self._catalog, self._intake, self._admission, lambda: self._waiter.reply_to
        )
        self._commit: GroupCommit[NewJob, JobId] = GroupCommit(
            self._intake.accept, max_items=GROUP_JOBS, max_leaders=self._store.concurrent_writers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Jobs go on; their ids can be asked for by another client."""
        self._waiter.close()
        self._publisher.close()
        self._notifier.close()
        if self._owns_store:
            self._store.close()

    def submit(
        self,
        model: str,
        rows: Any,
        *,
        version: int | str | None = None,
        method: Method | str = Method.PREDICT,
        priority: Priority | str = Priority.NORMAL,
        deadline: float | timedelta | None = None,
        routing_key: str | None = None,
        idempotency_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        traceparent: str | None = None,
        owner: str | None = None,
        webhook: str | Mapping[str, Any] | None = None,
    ) -> Job:
        """Enqueue one job of n rows and return at once, when the job is durable.

        `rows`: a 2-D array-like of shape (n_rows, n_features), a list of dicts, a DataFrame, or one row. `version`: a
        number or an alias, by default the champion at the time the job runs. `deadline`: seconds from now after which
        the job expires unless it was predicted. `routing_key`: jobs with the same key meet the same variant.
        `idempotency_key`: the same key with the same payload answers with the same job. `traceparent`: the caller's
        place in a W3C trace, kept with the job. `owner`: whose the job is, a name of at most 200 characters; the HTTP
        gateway puts the id of its caller's key there. `webhook`: a URL that is told how the job ends, or a mapping of
        `url` and `states` (those to tell of); docs/webhooks.md has the rest.

        Raises UnknownModel, UnknownVersion, InvalidInput (rows or options that do not fit; nothing was stored),
        IdempotencyConflict (the key was used with another payload), and BacklogFull (more than the model's
        `max_backlog`, or not in time for the deadline; nothing was stored).
        """
        options = check_options(
            version=version,
            method=method,
            priority=priority,
            deadline=deadline,
            routing_key=routing_key,
            idempotency_key=idempotency_key,
            metadata=metadata,
            traceparent=traceparent,
            owner=owner,
            webhook=webhook,
        )
        job = self._prepare(model, rows, options)
        with self._admission.entering([job]):
            self._expect(job)
            return Job(self, self._commit.run(job))

    def submit_many(self, model: str, items: Any, **options: Unpack[ManyOptions]) -> list[Job]:
        """Enqueue one job per item (a row, or rows) and return their handles, in order.

        The options are those of `submit` without keys; the priority is `bulk` unless given. The items are streamed in
        chunks and not kept. An item that does not fit raises InvalidInput that names its position; when `items` has a
        length, all are checked before the first is stored, and BacklogFull refuses all or none. For a source without
        end, and to have the handles of what was accepted before an error, use `submit_stream`.
        """
        if hasattr(items, "__len__"):
            prepared = list(self._prepare_each(model, items, _many(options)))
            with self._admission.entering(prepared):
                return [Job(self, job_id) for chunk in chunks(prepared) for job_id in self._intake.accept(chunk)]
        return list(self.submit_stream(model, items, **options))

    def submit_stream(self, model: str, items: Any, **options: Unpack[ManyOptions]) -> Iterator[Job]:
        """Like `submit_many`, lazily: draws from `items`, which may be endless, only as its handles are taken.

        A chunk is accepted when it is full, or about 0.1 s old when the next item comes.
        """
        for accepted in self._accept_each(model, items, options):
            for job_id in accepted:
                yield Job(self, job_id)

    def job(self, job_id: str) -> Job:
        """A handle for an id from anywhere. Raises UnknownJob when it is not an id at all; else ask its `state()`."""
        return Job(self, id_of(job_id))

    def state(self, job_id: str) -> State:
        """The true state now. Raises UnknownJob for an id that was never issued."""
        return self._store.state(id_of(job_id))

    def eta(self, job_id: str) -> float | None:
        """Seconds until the job is expected to end, by what waits before it and what workers learned; 0 once it has.

        None when nothing is learned yet, or nobody serves the queue. It counts all that waits now, so ask right after
        submitting; the look at it is at most a second old. Raises UnknownJob for an id never issued.
        """
        view = self._store.view(id_of(job_id))
        if view.state.terminal:
            return 0.0
        # The job itself is part of what waits.
        return self._admission.eta(Wanted(view.queue, view.priority, view.model, 0))

    def result(self, job_id: str, timeout: float | None = 0) -> Result:
        """How the job ended, whether well or not (see `Result.raise_for_state`), waiting at most `timeout` seconds.

        Raises WaitTimeout when it has not ended by then (None: wait without end), UnknownJob for an id never issued.
        """
        known = id_of(job_id)
        announced = timeout != 0 and self._waiter.is_expected(known)
        stored = None if announced else self._store.result(known)
        if stored is None:
            stored = next(self._waiter.collect([known], timeout), None)
        return self._ended(known, stored, timeout)

    def as_completed(self, jobs: Iterable[Handle | str], timeout: float | None = None) -> Iterator[Job]:
        """The jobs as they end, well or not, each once; their `result()` does not wait any more.

        Takes jobs and ids. Raises UnknownJob before anything else, and WaitTimeout when some have not ended
        `timeout` seconds after the start.
        """
        ids = self._known(jobs)
        left = len(ids)
        for stored in self._waiter.collect(ids, timeout):
            left -= 1
            yield Job(self, stored.id, result_of(stored))
        if left:
            raise some_unfinished(left, len(ids), timeout)

    def cancel(self, job_id: str | Handle) -> bool:
        """Take a job back. True when it is cancelled now; False when it had ended before, and stays as it is.

        A queued job never runs. A running one is not interrupted: its worker finishes the batch and drops the answer.
        Whoever waits for the job gets a result with the state CANCELLED. Raises UnknownJob for an id never issued.
        """
        return not self.cancel_many([job_id])[id_of(job_id)].terminal

    def cancel_many(self, jobs: Iterable[str | Handle]) -> dict[JobId, State]:
        """`cancel` for many jobs at once. By id: the state in which each was found.

        Those that were QUEUED or RUNNING are cancelled now, the others had ended before. Raises UnknownJob, and cancels
        nothing, when one of the ids was never issued.
        """
        before = dict(self._store.cancel([id_of(job) for job in jobs]))
        self._notifier.notify(self._store.replies([job_id for job_id, state in before.items() if not state.terminal]))
        return before

    def retry(self, job_id: str | Handle) -> Job:
        """Run a job that has ended once more: a new job of the same rows and options that points back to it.

        The old job stays as it is. A job is retried once: asked again, this answers with the same new job, whatever
        became of it (retry that one when it failed, too). Raises JobUnfinished while the job is queued or running,
        UnknownJob for an id never issued, and BacklogFull as `submit` does.
        """
        return self.retry_many([job_id])[0]

    def retry_many(self, jobs: Iterable[str | Handle]) -> list[Job]:
        """`retry` for many jobs: the new ones, in order.

        What raises does so before the first is retried; BacklogFull refuses all or none.
        """
        ids = [id_of(job) for job in jobs]
        for job_id, state in self._states(ids).items():
            if not state.terminal:
                raise unfinished(job_id, state)
        return [Job(self, retried.new) for retried in self._retrier.retry_all(ids)]

    def feedback(self, job_id: str | Handle, actual: Any) -> None:
        """Post the ground truth of a job: one value for a job of one row, else one per row. The last one counts.

        Raises UnknownJob for an id never issued.
        """
        self.feedback_many([(job_id, actual)])

    def feedback_many(self, feedback: Iterable[tuple[str | Handle, Any]]) -> None:
        """`feedback` for many jobs in one transaction: all or none."""
        self._store.add_feedback([(id_of(job), actual) for job, actual in feedback])

    def _doorbell(self) -> Doorbell:
        return Publisher(self.settings.broker)

    def _ended(self, job_id: JobId, stored: StoredResult | None, waited: float | None) -> Result:
        """The result. Raises WaitTimeout when there is none."""
        if stored is None:
            state = self._store.state(job_id)
            after = f" after {waited:g} s" if waited else ""
            raise WaitTimeout(f"job {job_id} is still {state}{after}; it goes on, ask again later")
        return result_of(stored)

    def _known(self, jobs: Iterable[Handle | str]) -> list[JobId]:
        """Their ids, each once. Raises UnknownJob."""
        ids = list(dict.fromkeys(map(id_of, jobs)))
        self._states([job_id for job_id in ids if not self._waiter.is_expected(job_id)])
        return ids

    def _states(self, ids: Sequence[JobId]) -> dict[JobId, State]:
        """The states of all of them. Raises UnknownJob."""
        states: dict[JobId, State] = {}
        for start in range(0, len(ids), POLL_WINDOW):
            window = ids[start : start + POLL_WINDOW]
            states.update(self._store.states(window))
            for job_id in window:
                if job_id not in states:
                    raise unknown_job(job_id)
        return states

    def _submit_each(self, requests: Sequence[Request]) -> list[JobId | Exception]:
        """Several callers' `submit` at once: for each its job's id, or what was raised for it alone."""
        answers: list[JobId | Exception] = []
        prepared: dict[int, NewJob] = {}
        for place, (model, rows, options) in enumerate(requests):
            try:
                job = self._prepare(model, rows, options)
                self._admission.reserve([job])
                self._expect(job)
                prepared[place] = job
                answers.append(job.id)
            except Exception as error:  # noqa: BLE001  # handed to the caller whose request it is
                answers.append(error)
        jobs = list(prepared.values())
        try:
            for place, answer in zip(prepared, self._commit.run_each(jobs), strict=True):
                answers[place] = answer
        finally:
            self._admission.release(jobs)
        return answers

    def _accept_each(self, model: str, items: Any, options: ManyOptions, first: int = 0) -> Iterator[Sequence[JobId]]:
        """The ids, chunk by chunk. `first` is the position of the first item for messages."""
        for chunk in chunks(self._prepare_each(model, items, _many(options), first)):
            yield self._take(chunk)

    def _prepare(self, model: str, rows: Any, options: SubmitOptions) -> NewJob:
        """The job, checked. Raises UnknownModel, UnknownVersion, InvalidInput."""
        if options.webhook is not None:
            parse_receiver(options.webhook.url, self.settings.webhook_networks)
        target = self._target(model, options)
        return self._job(target, self._checked(target, rows), options)

    def _expect(self, job: NewJob) -> None:
        if job.idempotency_key is None:
            self._waiter.expect(job.id)

    def _take(self, jobs: Sequence[NewJob]) -> Sequence[JobId]:
        """Raises BacklogFull."""
        with self._admission.entering(jobs):
            return self._intake.accept(jobs)

    def _job(self, target: Target, checked: CheckedRows, options: SubmitOptions) -> NewJob:
        job_id = new_job_id()
        return NewJob(
            id=job_id,
            model=target.model,
            n_rows=checked.n_rows,
            inputs=checked.json,
            queue=target.queue,
            priority=options.priority,
            version=options.version,
            method=options.method,
            deadline=options.deadline,
            routing_key=options.routing_key,
            routing_hash=routing_hash(options.routing_key or job_id),
            idempotency_key=options.idempotency_key,
            payload_digest=payload_digest(target.model, options, checked.json) if options.idempotency_key else None,
            metadata=options.metadata,
            reply_to=self._waiter.reply_to,
            traceparent=options.traceparent,
            owner=options.owner,
            webhook=options.webhook,
        )

    def _target(self, model: str, options: SubmitOptions) -> Target:
        return self._catalog.target(model, options.version, options.method)

    def _prepare_each(self, model: str, items: Any, options: SubmitOptions, first: int = 0) -> Iterator[NewJob]:
        named = self._target(model, options).signature.named
        for block in blocks(items_of(items, named=named)):
            target = self._target(model, options)
            checked = target.signature.check_each(block)
            for place, item in enumerate(block):
                rows = self._check(target, item if checked is None else checked[place], first + place)
                yield self._job(target, rows, options)
            first += len(block)

    def _checked(self, target: Target, rows: Any) -> CheckedRows:
        """The rows, or those that were checked before, within what one job may hold."""
        known = isinstance(rows, CheckedRows)
        checked: CheckedRows = rows if known else target.signature.check(rows, max_rows=self.settings.max_rows_per_job)
        return checked.within(self.settings.max_job_bytes)

    def _check(self, target: Target, item: Any, position: int) -> CheckedRows:
        try:
            return self._checked(target, item)
        except InvalidInput as error:
            raise InvalidInput(f"item {position}: {error}") from error


def _many(options: ManyOptions) -> SubmitOptions:
    given: ManyOptions = {"priority": Priority.BULK, **options}
    return check_options(**given)


def some_unfinished(left: int, total: int, timeout: float | None) -> WaitTimeout:
    return WaitTimeout(f"{left} of {total} jobs have not ended after {timeout or 0:g} s; they go on")
