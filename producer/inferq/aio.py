"""inferq for asyncio: the verbs of `inferq.Client`, to be awaited.

from inferq.aio import AsyncClient

async with AsyncClient() as client:
    job = await client.submit("digits", rows)
    print((await job.result(timeout=10)).outputs)

It is the same code, run in a few threads: the event loop never waits for a database or a broker. A thousand coroutines
that submit share transactions, and those that wait for results share one thread.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from inferq.bulk import CHUNK_SECONDS
from inferq.client import GROUP_JOBS, Client, Request
from inferq.gathering import Gathering
from inferq.job import AsyncJob, Handle, Result, id_of, result_of, some_unfinished
from inferq.options import ManyOptions, OneOptions, SubmitOptions, check_options
from inferq.waiting import POLL_WINDOW
from inferq.watching import Ending, Watch
from inferq_core.errors import InferqError, SettingsError
from inferq_core.ids import JobId
from inferq_core.settings import Settings, load_settings
from inferq_core.store.records import StoredResult

__all__ = ["AsyncClient", "AsyncJob"]

# Calls under way at the same time; each may take one of the store's connections, of which a process has fifteen.
THREADS = 8
# Items of an asynchronous source that are drawn before they are accepted together.
DRAWN_ITEMS = 256

P = ParamSpec("P")
R = TypeVar("R")


def _verb(
    call: Callable[Concatenate[Client, P], R],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    """The method of Client, in a thread."""

    @functools.wraps(call)
    async def verb(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._in_thread(call, *args, **kwargs)

    return verb


class AsyncClient:
    """`inferq.Client` for asyncio. Make one per event loop and share it between its tasks.

    Takes what Client takes and connects at the first use. With `client`, it is that client's other face and leaves it
    open. What methods raise is what Client's raise. A call that is cancelled may have reached the store already: submit
    with an idempotency key where that matters.
    """

    def __init__(self, settings: Settings | None = None, *, client: Client | None = None, **overrides: Any) -> None:
        if client is not None and (settings is not None or overrides):
            raise SettingsError("give either a client or settings: a client has its own")
        if settings is not None and overrides:
            raise SettingsError(f"give either settings or single ones ({', '.join(overrides)}), not both")
        self.settings = client.settings if client is not None else settings or load_settings(**overrides)
        self._client = client
        self._owns_client = client is None
        self._opening = threading.Lock()
        self._closed = False
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="inferq-aio")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: Watch | None = None
        self._submits: Gathering[Request, JobId] = Gathering(self._serve_submits, max_items=GROUP_JOBS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish the calls under way and close the connections. Jobs go on."""
        self._closed = True
        if self._watch is not None:
            self._watch.stop(InferqError("the AsyncClient was closed meanwhile; the job goes on"))
        await asyncio.to_thread(self._shut_down)

    async def submit(self, model: str, rows: Any, **options: Unpack[OneOptions]) -> AsyncJob:
        """`Client.submit`: enqueue one job of n rows and return when it is durable.

        Concurrent calls share a transaction and a message.
        """
        return AsyncJob(self, await self._submits.call((model, rows, check_options(**options))))

    async def submit_many(self, model: str, items: Any, **options: Unpack[ManyOptions]) -> list[AsyncJob]:
        """`Client.submit_many`: enqueue one job per item and return their handles, in order."""
        jobs = await self._in_thread(Client.submit_many, model, items, **options)
        return [AsyncJob(self, job.id) for job in jobs]

    async def submit_items(self, model: str, items: Sequence[Any], options: SubmitOptions) -> list[JobId]:
        """One job per item, all or none: their ids. With an idempotency key, the same items again are the same jobs."""
        return await self._in_thread(Client._accept_all, model, items, options)

    async def submit_stream(
        self, model: str, items: Any, **options: Unpack[ManyOptions]
    ) -> AsyncGenerator[AsyncJob, None]:
        """`Client.submit_stream`: like `submit_many`, lazily. `items` may be an asynchronous iterable.

        An ordinary iterable is drawn from in a thread, so it may block.
        """
        accept = self._accept_drawn if hasattr(items, "__aiter__") else self._accept_iterable
        async with aclosing(accept(model, items, options)) as accepted:
            async for job_ids in accepted:
                for job_id in job_ids:
                    yield AsyncJob(self, job_id)

    def job(self, job_id: str) -> AsyncJob:
        """A handle for an id from anywhere. Raises UnknownJob when it is not an id at all; else ask its `state()`."""
        return AsyncJob(self, id_of(job_id))

    state = _verb(Client.state)
    eta = _verb(Client.eta)
    cancel = _verb(Client.cancel)
    cancel_many = _verb(Client.cancel_many)

    async def retry(self, job_id: str | Handle) -> AsyncJob:
        """`Client.retry`: run a job that has ended once more, as a new job."""
        return (await self.retry_many([job_id]))[0]

    async def retry_many(self, jobs: Iterable[str | Handle]) -> list[AsyncJob]:
        """`Client.retry_many`: the new jobs, in order."""
        return [AsyncJob(self, job.id) for job in await self._in_thread(Client.retry_many, list(jobs))]

    feedback = _verb(Client.feedback)
    feedback_many = _verb(Client.feedback_many)

    async def result(self, job_id: str, timeout: float | None = 0) -> Result:  # noqa: ASYNC109  # as in Client
        """`Client.result`: how the job ended, whether well or not, waiting at most `timeout` seconds."""
        known = id_of(job_id)
        if timeout is not None and timeout <= 0:
            return await self._in_thread(Client.result, known, timeout)
        try:
            async with asyncio.timeout(timeout):
                return result_of(await self.stored_result(known))
        except TimeoutError:
            return await self._in_thread(_last_look, known, timeout)

    async def stored_result(self, job_id: str) -> StoredResult:
        """The result as the store has it, waiting for it without end: put `asyncio.timeout` around it.

        Raises UnknownJob for an id never issued.
        """
        return await self.first_result([job_id])

    async def first_result(self, job_ids: Sequence[str]) -> StoredResult:
        """The result of the first of the jobs that ends, waiting for it without end: see `stored_result`."""
        known = [id_of(job_id) for job_id in job_ids]
        ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

        def arrival(_: JobId, ending: Ending) -> None:
            if not ended.done():
                ended.set_result(ending)

        watch = await self._watching()
        watch.add(known, arrival)
        try:
            ending = await ended
        finally:
            watch.discard(known, arrival)
        if isinstance(ending, Exception):
            raise ending
        return ending

    async def as_completed(
        self,
        jobs: Iterable[Handle | str],
        timeout: float | None = None,  # noqa: ASYNC109  # as in Client
    ) -> AsyncGenerator[AsyncJob, None]:
        """`Client.as_completed`: the jobs as they end, well or not, each once."""
        until = None if timeout is None else asyncio.get_running_loop().time() + timeout
        ids = await self._in_thread(Client._known, list(jobs))
        left = dict.fromkeys(ids)
        arrived: asyncio.Queue[tuple[JobId, Ending]] = asyncio.Queue()

        def arrival(job_id: JobId, ending: Ending) -> None:
            arrived.put_nowait((job_id, ending))

        watch = await self._watching()
        watch.add(ids, arrival)
        try:
            while left and (arrived_now := await _next_of(arrived, until)) is not None:
                job_id, ending = arrived_now
                if isinstance(ending, Exception):
                    raise ending
                del left[job_id]
                yield AsyncJob(self, job_id, result_of(ending))
        finally:
            watch.discard(left, arrival)
        for result in await self._in_thread(_ended_among, list(left)) if left else ():
            del left[result.id]
            yield AsyncJob(self, result.id, result)
        if left:
            raise some_unfinished(len(left), len(ids), timeout)

    async def _accept_iterable(
        self, model: str, items: Any, options: ManyOptions, first: int = 0
    ) -> AsyncGenerator[Sequence[JobId], None]:
        chunks = await self._in_thread(Client._accept_each, model, items, options, first)
        while (job_ids := await self._in_thread(_next_chunk, chunks)) is not None:
            yield job_ids

    async def _accept_drawn(
        self, model: str, items: AsyncIterable[Any], options: ManyOptions
    ) -> AsyncGenerator[Sequence[JobId], None]:
        clock = asyncio.get_running_loop().time
        drawn: list[Any] = []
        first, started = 0, clock()
        async for item in items:
            started = started if drawn else clock()
            drawn.append(item)
            if len(drawn) < DRAWN_ITEMS and clock() - started < CHUNK_SECONDS:
                continue
            async for job_ids in self._accept_iterable(model, drawn, options, first):
                yield job_ids
            first += len(drawn)
            drawn = []
        async for job_ids in self._accept_iterable(model, drawn, options, first):
            yield job_ids

    async def _serve_submits(self, requests: Sequence[Request]) -> Sequence[JobId | Exception]:
        return await self._in_thread(Client._submit_each, requests)

    async def _watching(self) -> Watch:
        if self._watch is None:
            client = await self._in_thread(_itself)
            if self._watch is None:  # another task may have been faster
                self._watch = Watch(client._waiter, client._store, asyncio.get_running_loop())
        return self._watch

    async def _in_thread(self, call: Callable[Concatenate[Client, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._closed:
            raise InferqError("this AsyncClient is closed: make a new one")
        if self._loop is not loop:
            raise InferqError("this AsyncClient was used in another event loop before: make one for each")
        return await loop.run_in_executor(self._threads, lambda: call(self._opened(), *args, **kwargs))

    def _opened(self) -> Client:
        """The client, made at the first use because opening a store takes a while. In a thread only."""
        with self._opening:
            if self._client is None:
                self._client = Client(self.settings)
            return self._client

    def _shut_down(self) -> None:
        if self._watch is not None:
            self._watch.join()
        self._threads.shutdown()
        if self._client is not None and self._owns_client:
            self._client.close()


def _itself(client: Client) -> Client:
    return client


def _last_look(client: Client, job_id: JobId, waited: float | None) -> Result:
    """The result. Raises WaitTimeout when there is none."""
    return client._ended(job_id, client._store.result(job_id), waited)


def _ended_among(client: Client, job_ids: Sequence[JobId]) -> list[Result]:
    windows = (job_ids[start : start + POLL_WINDOW] for start in range(0, len(job_ids), POLL_WINDOW))
    return [result_of(stored) for window in windows for stored in client._store.results(window).values()]


def _next_chunk(_: Client, chunks: Iterator[Sequence[JobId]]) -> Sequence[JobId] | None:
    return next(chunks, None)


async def _next_of(arrived: asyncio.Queue[tuple[JobId, Ending]], until: float | None) -> tuple[JobId, Ending] | None:
    """The next that arrived; None when nothing has by `until`."""
    if not arrived.empty():
        return arrived.get_nowait()
    try:
        async with asyncio.timeout_at(until):
            return await arrived.get()
    except TimeoutError:
        return None
