"""The token buckets of the gateway's keys: in Redis, where all gateways share them, or in this process."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import redis

from inferq_core import redis_lists
from inferq_core.broker_url import check_url, is_redis
from inferq_core.errors import BrokerUnavailable
from inferq_core.policy.rate import Level, RateLimit, take
from inferq_core.settings import redact

# In front of a key's id. Docs and rights (docs/brokers.md) name it.
PREFIX = "inferq.rate."
# Seconds that a server may take: whoever waits for longer is served without being counted.
TIMEOUT = 0.5
# Buckets that a process keeps for itself; when there are more, those that are full again are dropped.
MAX_LOCAL = 10_000

# `policy.rate.take`, where nobody can come between reading and writing, by the server's clock. The bucket is gone when
# it would be full again, which is what one that is not there stands for. Numbers are returned as text: Redis would cut
# them to whole ones.
_TAKE = """
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(burst, (tonumber(held[1]) or burst) + math.max(0, now - (tonumber(held[2]) or now)) * rate)
local allowed = tokens >= 1
if allowed then
  tokens = tokens - 1
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / rate * 1000) + 1000)
return {allowed and 1 or 0, string.format('%.17g', tokens)}
"""
_TAKE_SHA = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()  # Redis' name for it


class Buckets(Protocol):
    def take(self, asks: Sequence[tuple[str, RateLimit]]) -> list[Level]:
        """Take a token for each (key's id, its limit), in order. Raises BrokerUnavailable."""

    def close(self) -> None: ...


def buckets_of(broker_url: str) -> Buckets:
    """Those of a broker. Connects to nothing."""
    return RedisBuckets(broker_url) if is_redis(check_url(broker_url)) else LocalBuckets()


class RedisBuckets:
    """One trip for all that are asked for together."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._client = redis_lists.client_of(broker_url, connect_timeout=TIMEOUT, timeout=TIMEOUT)

    def take(self, asks: Sequence[tuple[str, RateLimit]]) -> list[Level]:
        try:
            try:
                answers = self._ask(asks)
            except redis.exceptions.NoScriptError:  # the first time, and after the server forgot all
                self._client.script_load(_TAKE)
                answers = self._ask(asks)
        except (redis.RedisError, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise BrokerUnavailable(f"the broker at {redact(self._url)} does not count requests ({reason})") from error
        return [Level(bool(allowed), float(tokens)) for allowed, tokens in answers]

    def _ask(self, asks: Sequence[tuple[str, RateLimit]]) -> list[tuple[int, bytes]]:
        pipeline = self._client.pipeline(transaction=False)
        for key_id, limit in asks:
            pipeline.evalsha(_TAKE_SHA, 1, PREFIX + key_id, repr(limit.per_second), limit.burst)
        return pipeline.execute()

    def close(self) -> None:
        self._client.close()


class LocalBuckets:
    """Of this process alone. Not safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, tuple[RateLimit, float, float]] = {}

    def take(self, asks: Sequence[tuple[str, RateLimit]]) -> list[Level]:
        return [self._take(key_id, limit) for key_id, limit in asks]

    def close(self) -> None:
        self._held.clear()

    def _take(self, key_id: str, limit: RateLimit) -> Level:
        now = self._clock()
        _, tokens, at = self._held.get(key_id, (limit, float(limit.burst), now))
        level = take(limit, tokens, now - at)
        if len(self._held) >= MAX_LOCAL:
            self._held = {
                held: (of, left, since)
                for held, (of, left, since) in self._held.items()
                if left + (now - since) * of.per_second < of.burst
            }
        self._held[key_id] = (limit, level.tokens, now)
        return level
