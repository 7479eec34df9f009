"""What the routes work with: the client, the store, and what concurrent requests share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request

from inferq.aio import AsyncClient
from inferq.client import Client
from inferq.gateway.access import Caller, Keys
from inferq.gateway.batch_jobs import BatchJobs
from inferq.gateway.limits import Limits
from inferq.gateway.problems import unavailable
from inferq.gateway.reading import Readings
from inferq.gateway.waits import Waits
from inferq.gathering import Gathering
from inferq.job import id_of
from inferq.waiting import POLL_WINDOW
from inferq_core.buckets import buckets_of
from inferq_core.ids import JobId
from inferq_core.settings import Settings
from inferq_core.states import Priority
from inferq_core.store.contract import Store
from inferq_core.store.jobs import unknown_job
from inferq_core.store.records import JobNow, KeyScope

# Reads of the store under way side by side, besides those of the client.
THREADS = 4
# Seconds for which the estimate of one prediction is given to others of its model and priority, too.
ESTIMATE_SECONDS = 0.25

Answer = TypeVar("Answer")


class Services:
    """One for each event loop; make it inside. `store` stays open when it is closed."""

    def __init__(self, settings: Settings, store: Store, *, keyless: bool) -> None:
        self.settings = settings
        self._store = store
        self._sync = Client(settings, store=store)
        self.client = AsyncClient(client=self._sync)
        self.waits = Waits(self.client)
        self.readings = Readings(settings, store)
        self.batch_jobs = BatchJobs(self.ask, self.client)
        self._limits = Limits(buckets_of(settings.broker))
        self._keys = Keys(self.ask, self._limits, keyless=keyless)
        self._stopping = False
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="inferq-gateway")
        self._reads: Gathering[JobId, JobNow] = Gathering(self._read_each, max_items=POLL_WINDOW)
        self._estimates: dict[tuple[str, Priority], tuple[float, asyncio.Future[float | None]]] = {}

    async def close(self) -> None:
        await self.batch_jobs.close()
        await self.client.close()
        await self._limits.close()
        await asyncio.to_thread(self.readings.close)
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._sync.close)

    def stop(self) -> None:
        """Answer who waits, and be not ready from now on: the gateway is about to stop."""
        self._stopping = True
        self.waits.end()
        self.readings.end()

    @property
    def stopping(self) -> bool:
        return self._stopping

    def require_open(self) -> None:
        """Raises Problem once the gateway is about to stop."""
        if self._stopping:
            raise unavailable("the gateway is about to stop: ask another")

    async def ask(self, question: Callable[[Store], Answer]) -> Answer:
        """The store's answer, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, question, self._store)

    async def caller(self, request: Request, scope: KeyScope | None = None) -> Caller:
        """Who asks, who has this scope. Raises Problem."""
        caller = await self._keys.caller(request)
        if scope is not None:
            caller.require(scope)
        return caller

    async def visible(self, caller: Caller, job_id: str) -> JobNow:
        """`now_of` for one who may see it. Raises UnknownJob for who may not, as for what does not exist."""
        now = await self.now_of(job_id)
        if not caller.sees(now.view):
            raise unknown_job(job_id)
        return now

    async def now_of(self, job_id: str) -> JobNow:
        """The job as it is now; concurrent calls share a statement. Raises UnknownJob."""
        return await self._reads.call(id_of(job_id))

    async def eta(self, job_id: JobId, model: str, priority: Priority) -> float | None:
        """Seconds until the job is expected to end; believed for a moment for all that are like it."""
        known = self._estimates.get((model, priority))
        if known is None or time.monotonic() - known[0] >= ESTIMATE_SECONDS:
            known = time.monotonic(), asyncio.ensure_future(self.client.eta(job_id))
            self._estimates[model, priority] = known
        return await asyncio.shield(known[1])

    async def _read_each(self, job_ids: Sequence[JobId]) -> Sequence[JobNow | Exception]:
        found = await self.ask(lambda store: store.now_of(job_ids))
        return [found.get(job_id) or unknown_job(job_id) for job_id in job_ids]


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
