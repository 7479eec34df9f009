"""How many requests a key may send: 429 past it, and the RateLimit headers of the IETF's draft on every answer.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (version 10: `RateLimit`, `RateLimit-Policy`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request

from inferq.gateway.problems import Kind, Problem
from inferq.gathering import Gathering
from inferq_core.buckets import Buckets
from inferq_core.errors import BrokerUnavailable
from inferq_core.logging import get_logger
from inferq_core.policy.rate import Level, RateLimit
from inferq_core.store.records import KeyRecord

log = get_logger(__name__)

# Requests that share a trip to the broker.
MAX_TOGETHER = 500
# Seconds for which a broker that did not count is left alone, at first and at last: it doubles each time.
FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0


class Limits:
    """Counts the requests of keys that have a limit. One for each event loop.

    While the broker is away nobody is refused: predictions need no broker either.
    """

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inferq-limits")
        self._asks: Gathering[tuple[str, RateLimit], Level] = Gathering(self._take, max_items=MAX_TOGETHER)
        self._pause = 0.0
        self._paused_until = float("-inf")

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._buckets.close()

    async def charge(self, request: Request, key: KeyRecord) -> None:
        """Take a token for the request, once however often it is called for it. Raises Problem when there is none."""
        limit = key.limit
        if limit is None or hasattr(request.state, "answer_headers"):
            return
        level = await self._level(key.id, limit)
        request.state.answer_headers = () if level is None else _headers(limit, level)
        if level is not None and not level.allowed:
            after = level.retry_after(limit)
            detail = f"the key may send {limit} requests, {limit.burst} at once: again in {after} s"
            extra = {"retry_after_seconds": after}
            raise Problem(Kind.RATE_LIMITED, detail, headers={"Retry-After": str(after)}, extra=extra)

    async def _level(self, key_id: str, limit: RateLimit) -> Level | None:
        """None while the broker does not count."""
        if time.monotonic() < self._paused_until:
            return None
        try:
            level = await self._asks.call((key_id, limit))
        except BrokerUnavailable as error:
            self._away(error)
            return None
        if self._pause:
            self._pause = 0.0
            log.warning("rate_limits_back")
        return level

    def _away(self, error: BrokerUnavailable) -> None:
        if time.monotonic() < self._paused_until:
            return  # another request of the same group has said so
        if not self._pause:
            log.warning("rate_limits_off", reason=str(error), consequence="all requests are let through")
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LAST_PAUSE)
        self._paused_until = time.monotonic() + self._pause

    async def _take(self, asks: Sequence[tuple[str, RateLimit]]) -> Sequence[Level]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._buckets.take, asks)


def _headers(limit: RateLimit, level: Level) -> tuple[tuple[bytes, bytes], ...]:
    policy = f'"key";q={limit.burst};w={limit.window}'
    state = f'"key";r={int(level.tokens)};t={level.full_after(limit)}'
    return (b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())
