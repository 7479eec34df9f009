"""The client over HTTP, synchronous."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from inferq.choices import ManyOptions, OneOptions
from inferq.http.asking import Asking
from inferq.http.chunks import chunks
from inferq.http.exchange import Call, Flow, Lost, Pause
from inferq.http.place import Place
from inferq.http.problems import Answer
from inferq.http.verbs import Verbs
from inferq.items import items_of
from inferq.job import Handle, Job, Result, id_of
from inferq_core.errors import InferqError
from inferq_core.spelling import JobId
from inferq_core.states import State

R = TypeVar("R")


class HttpClient:
    """`inferq.Client` over HTTP. Make one per process and share it: it is safe for threads (not across a fork).

    `url`: where the gateway is, else INFERQ_GATEWAY_URL, else http://127.0.0.1:8000. `key`: what `inferq keys create`
    printed, else INFERQ_GATEWAY_KEY. `timeout`: seconds that one request has, beside what it was let wait for a
    result. `retry_for`: seconds for which one that met no answer, or "later", is sent again. `transport`: an
    `httpx.HTTPTransport`, for certificates and proxies of one's own.

    Methods raise what those of Client raise, and KeyRefused, GatewayUnavailable, GatewayError.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retry_for: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._place = Place.of(url, key, timeout)
        self._verbs = Verbs(retry_for)
        self._http = httpx.Client(
            base_url=self._place.url, headers=self._place.headers, limits=self._place.limits, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place.url!r})"

    def close(self) -> None:
        """Close the connections. Jobs go on; their ids can be asked for by another client."""
        self._http.close()

    def submit(self, model: str, rows: Any, **options: Unpack[OneOptions]) -> Job:
        """`Client.submit`: enqueue one job of n rows and return when it is durable."""
        return Job(self, self._run(self._verbs.submit(Asking.one(model, **options), rows)))

    def submit_many(self, model: str, items: Any, **options: Unpack[ManyOptions]) -> list[Job]:
        """`Client.submit_many`: enqueue one job per item and return their handles, in order.

        All or none for each request, which takes 10,000 items or 8 MiB.
        """
        accepted = self._accept_each(model, items, options, streamed=not hasattr(items, "__len__"))
        return [Job(self, job_id) for job_ids in accepted for job_id in job_ids]

    def submit_stream(self, model: str, items: Any, **options: Unpack[ManyOptions]) -> Iterator[Job]:
        """`Client.submit_stream`: like `submit_many`, lazily."""
        for job_ids in self._accept_each(model, items, options, streamed=True):
            for job_id in job_ids:
                yield Job(self, job_id)

    def job(self, job_id: str) -> Job:
        """A handle for an id from anywhere. Raises UnknownJob when it is not an id at all; else ask its `state()`."""
        return Job(self, id_of(job_id))

    def state(self, job_id: str) -> State:
        """`Client.state`: the true state now."""
        return self._run(self._verbs.state(job_id))

    def eta(self, job_id: str) -> float | None:
        """`Client.eta`: seconds until the job is expected to end."""
        return self._run(self._verbs.eta(job_id))

    def result(self, job_id: str, timeout: float | None = 0) -> Result:
        """`Client.result`: how the job ended, whether well or not, waiting at most `timeout` seconds."""
        return self._run(self._verbs.result(job_id, timeout))

    def as_completed(self, jobs: Iterable[Handle | str], timeout: float | None = None) -> Iterator[Job]:
        """`Client.as_completed`: the jobs as they end, well or not, each once."""
        for look in self._verbs.as_completed(jobs, timeout):
            for result in self._run(look):
                yield Job(self, result.id, result)

    def cancel(self, job_id: str | Handle) -> bool:
        """`Client.cancel`: take a job back. False, too, when a request that got no answer had cancelled it before."""
        return not self.cancel_many([job_id])[id_of(job_id)].terminal

    def cancel_many(self, jobs: Iterable[str | Handle]) -> dict[JobId, State]:
        """`Client.cancel_many`: by id, the state in which each was found."""
        return self._run(self._verbs.cancel_many(jobs))

    def retry(self, job_id: str | Handle) -> Job:
        """`Client.retry`: run a job that has ended once more, as a new job."""
        return self.retry_many([job_id])[0]

    def retry_many(self, jobs: Iterable[str | Handle]) -> list[Job]:
        """`Client.retry_many`: the new jobs, in order."""
        return [Job(self, job_id) for job_id in self._run(self._verbs.retry_many(jobs))]

    def feedback(self, job_id: str | Handle, actual: Any) -> None:
        """`Client.feedback`: post the ground truth of a job."""
        self.feedback_many([(job_id, actual)])

    def feedback_many(self, feedback: Iterable[tuple[str | Handle, Any]]) -> None:
        """`Client.feedback_many`: post the ground truth of many jobs."""
        self._run(self._verbs.feedback_many(feedback))

    def _accept_each(self, model: str, items: Any, options: ManyOptions, *, streamed: bool) -> Iterator[list[JobId]]:
        named = self._run(self._verbs.named(Asking.many(model, **options)))
        for chunk in chunks(items_of(items, named=named), named=named, streamed=streamed):
            yield self._run(self._verbs.accept(Asking.many(model, **options), chunk))

    def _run(self, flow: Flow[R]) -> R:
        outcome: Answer | Lost | None = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                outcome = None
            else:
                outcome = self._perform(step)

    def _perform(self, call: Call) -> Answer | Lost:
        if self._http.is_closed:
            raise InferqError(f"this {type(self).__name__} is closed: make a new one")
        timeout = self._place.timeout_of(call)
        try:
            answer = self._http.request(
                call.method, call.path, content=call.body, headers=dict(call.headers), timeout=timeout
            )
        except httpx.HTTPError as error:
            return self._place.lost(error)
        return Answer(answer.status_code, dict(answer.headers), answer.content)
