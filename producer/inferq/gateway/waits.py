"""Requests that wait for a prediction, and can all be told to answer now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from inferq.aio import AsyncClient
from inferq_core.ids import JobId
from inferq_core.store.records import StoredResult


class Waits:
    """The waits of one event loop. After `end`, nothing waits any more."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._open: set[asyncio.Timeout] = set()
        self._ended = False

    async def result(self, job_id: JobId, seconds: float) -> StoredResult | None:
        """The result, or None when there is none after `seconds`. Raises UnknownJob, StoreUnavailable."""
        return await self.first([job_id], seconds)

    async def first(self, job_ids: Sequence[JobId], seconds: float) -> StoredResult | None:
        """The result of the first of the jobs that ends within `seconds`, as above."""
        window = asyncio.timeout(0 if self._ended else seconds)
        try:
            async with window:
                self._open.add(window)
                return await self._client.first_result(job_ids)
        except TimeoutError:
            return None
        finally:
            self._open.discard(window)

    def end(self) -> None:
        """Let whoever waits have its answer now: the gateway is about to stop."""
        self._ended = True
        now = asyncio.get_running_loop().time()
        for window in self._open:
            if not window.expired():
                window.reschedule(now)
