"""The client over HTTP for asyncio: the same flows, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from inferq.choices import ManyOptions, OneOptions
from inferq.http.asking import Asking
from inferq.http.chunks import Chunk, chunks
from inferq.http.exchange import Call, Flow, Lost, Pause
from inferq.http.place import Place
from inferq.http.problems import Answer
from inferq.http.verbs import Verbs
from inferq.items import items_of
from inferq.job import AsyncJob, Handle, Result, id_of
from inferq_core.errors import InferqError
from inferq_core.spelling import JobId
from inferq_core.states import State

R = TypeVar("R")


class AsyncHttpClient:
    """`HttpClient` for asyncio, with the same arguments. Make one per event loop and share it between its tasks.

    `transport` is an `httpx.AsyncHTTPTransport` here.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retry_for: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._place = Place.of(url, key, timeout)
        self._verbs = Verbs(retry_for)
        self._http = httpx.AsyncClient(
            base_url=self._place.url, headers=self._place.headers, limits=self._place.limits, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place.url!r})"

    async def close(self) -> None:
        """Close the connections. Jobs go on."""
        await self._http.aclose()

    async def submit(self, model: str, rows: Any, **options: Unpack[OneOptions]) -> AsyncJob:
        """`Client.submit`: enqueue one job of n rows and return when it is durable."""
        return AsyncJob(self, await self._run(self._verbs.submit(Asking.one(model, **options), rows)))

    async def submit_many(self, model: str, items: Any, **options: Unpack[ManyOptions]) -> list[AsyncJob]:
        """`HttpClient.submit_many`: enqueue one job per item and return their handles, in order."""
        async with aclosing(self._accept_each(model, items, options, streamed=not hasattr(items, "__len__"))) as each:
            return [AsyncJob(self, job_id) async for job_ids in each for job_id in job_ids]

    async def submit_stream(
        self, model: str, items: Any, **options: Unpack[ManyOptions]
    ) -> AsyncGenerator[AsyncJob, None]:
        """`Client.submit_stream`: like `submit_many`, lazily. `items` may be an asynchronous iterable.

        An ordinary iterable is drawn from in a thread, so it may block.
        """
        async with aclosing(self._accept_each(model, items, options, streamed=True)) as each:
            async for job_ids in each:
                for job_id in job_ids:
                    yield AsyncJob(self, job_id)

    def job(self, job_id: str) -> AsyncJob:
        """A handle for an id from anywhere. Raises UnknownJob when it is not an id at all; else ask its `state()`."""
        return AsyncJob(self, id_of(job_id))

    async def state(self, job_id: str) -> State:
        """`Client.state`: the true state now."""
        return await self._run(self._verbs.state(job_id))

    async def eta(self, job_id: str) -> float | None:
        """`Client.eta`: seconds until the job is expected to end."""
        return await self._run(self._verbs.eta(job_id))

    async def result(self, job_id: str, timeout: float | None = 0) -> Result:  # noqa: ASYNC109  # as in Client
        """`Client.result`: how the job ended, whether well or not, waiting at most `timeout` seconds."""
        return await self._run(self._verbs.result(job_id, timeout))

    async def as_completed(
        self,
        jobs: Iterable[Handle | str],
        timeout: float | None = None,  # noqa: ASYNC109  # as in Client
    ) -> AsyncGenerator[AsyncJob, None]:
        """`Client.as_completed`: the jobs as they end, well or not, each once."""
        for look in self._verbs.as_completed(jobs, timeout):
            for result in await self._run(look):
                yield AsyncJob(self, result.id, result)

    async def cancel(self, job_id: str | Handle) -> bool:
        """`HttpClient.cancel`: take a job back."""
        return not (await self.cancel_many([job_id]))[id_of(job_id)].terminal

    async def cancel_many(self, jobs: Iterable[str | Handle]) -> dict[JobId, State]:
        """`Client.cancel_many`: by id, the state in which each was found."""
        return await self._run(self._verbs.cancel_many(jobs))

    async def retry(self, job_id: str | Handle) -> AsyncJob:
        """`Client.retry`: run a job that has ended once more, as a new job."""
        return (await self.retry_many([job_id]))[0]

    async def retry_many(self, jobs: Iterable[str | Handle]) -> list[AsyncJob]:
        """`Client.retry_many`: the new jobs, in order."""
        return [AsyncJob(self, job_id) for job_id in await self._run(self._verbs.retry_many(jobs))]

    async def feedback(self, job_id: str | Handle, actual: Any) -> None:
        """`Client.feedback`: post the ground truth of a job."""
        await self.feedback_many([(job_id, actual)])

    async def feedback_many(self, feedback: Iterable[tuple[str | Handle, Any]]) -> None:
        """`Client.feedback_many`: post the ground truth of many jobs."""
        await self._run(self._verbs.feedback_many(feedback))

    async def _accept_each(
        self, model: str, items: Any, options: ManyOptions, *, streamed: bool
    ) -> AsyncGenerator[list[JobId], None]:
        named = await self._run(self._verbs.named(Asking.many(model, **options)))
        async with aclosing(_chunks(items, named=named, streamed=streamed)) as each:
            async for chunk in each:
                yield await self._run(self._verbs.accept(Asking.many(model, **options), chunk))

    async def _run(self, flow: Flow[R]) -> R:
        outcome: Answer | Lost | None = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                outcome = None
            else:
                outcome = await self._perform(step)

    async def _perform(self, call: Call) -> Answer | Lost:
        if self._http.is_closed:
            raise InferqError(f"this {type(self).__name__} is closed: make a new one")
        timeout = self._place.timeout_of(call)
        try:
            answer = await self._http.request(
                call.method, call.path, content=call.body, headers=dict(call.headers), timeout=timeout
            )
        except httpx.HTTPError as error:
            return self._place.lost(error)
        return Answer(answer.status_code, dict(answer.headers), answer.content)


async def _chunks(items: Any, *, named: bool, streamed: bool) -> AsyncGenerator[Chunk, None]:
    if not hasattr(items, "__aiter__"):
        drawn = chunks(items_of(items, named=named), named=named, streamed=streamed)
        while (chunk := await asyncio.to_thread(_next_of, drawn)) is not None:
            yield chunk
        return
    chunk = Chunk(0, named=named, streamed=streamed)
    async for item in items:
        if chunk.add(item):
            yield chunk
            chunk = chunk.next()
    if len(chunk):
        yield chunk


def _next_of(drawn: Iterator[Chunk]) -> Chunk | None:
    return next(drawn, None)
