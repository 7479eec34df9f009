"""Whether the broker answers, keeps what it is given, and holds only messages of this store."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from inferq_core import messages as inferq_messages
from inferq_core.broker import SET_ASIDE_QUEUE, Publisher
from inferq_core.broker_url import check_url, is_redis
from inferq_core.errors import BrokerUnavailable
from inferq_core.redis_lists import client_of, keys_of
from inferq_core.settings import Settings, redact
from inferq_monitoring.findings import Finding, fail, ok, skipped, warn

# Seconds that one answer may take.
TIMEOUT = 4.0
# Messages at the head of each list that are looked at: those that workers get next.
PEEKED = 20
# The first version with BLMPOP, which takes many messages in one question.
OLDEST_VERSION = 7
# Share of the memory that may be used before it is worth a warning.
FULL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What a Redis or Valkey server says of itself."""

    name: str
    version: str  # of Redis, or of the Redis that Valkey is compatible with
    policy: str  # maxmemory-policy
    appends: bool
    used_bytes: int
    max_bytes: int  # 0: no limit
    total_bytes: int  # of the machine; 0: unknown


def check_broker(settings: Settings) -> list[Finding]:
    """Whether it answers; on Redis and Valkey, whether it is set up to keep messages."""
    url = check_url(settings.broker)
    start = (
        "`inferq up` starts it; INFERQ_BROKER_URL names another one"
        if settings.embedded_broker
        else "start the server, or correct INFERQ_BROKER_URL"
    )
    try:
        if not is_redis(url):
            with closing(Publisher(url)) as publisher:
                publisher.ping()
            return [ok("broker", f"{redact(url)} answers")]
        with client_of(url, connect_timeout=TIMEOUT, timeout=TIMEOUT) as client:
            facts = redis_facts(client.info())
    except (BrokerUnavailable, redis.RedisError) as error:
        return [fail("broker", f"{redact(url)} does not answer: {error}", start)]
    return [ok("broker", f"{redact(url)} answers, {facts.name}"), *judge_redis(facts)]


def redis_facts(info: Mapping[str, Any]) -> RedisFacts:
    """From the server's INFO, in which a managed service may leave out some lines."""
    valkey = info.get("valkey_version")
    version = str(info.get("redis_version", "0"))
    return RedisFacts(
        name=f"Valkey {valkey}" if valkey else f"Redis {version}",
        version=version,
        policy=str(info.get("maxmemory_policy", "noeviction")),
        appends=bool(info.get("aof_enabled", 0)),
        used_bytes=int(info.get("used_memory", 0)),
        max_bytes=int(info.get("maxmemory", 0)),
        total_bytes=int(info.get("total_system_memory", 0)),
    )


def judge_redis(facts: RedisFacts) -> Iterator[Finding]:
    major = re.match(r"\d+", facts.version)
    if major is None or int(major[0]) < OLDEST_VERSION:
        advice = f"take Redis {OLDEST_VERSION} or newer, or Valkey: older ones lack BLMPOP"
        yield warn("broker version", f"{facts.name} is too old", advice)
    if facts.policy != "noeviction":
        yield warn(
            "broker eviction",
            f"maxmemory-policy is {facts.policy}: a full broker would throw messages away",
            "set maxmemory-policy to noeviction; lost messages are published again, but late",
        )
    if not facts.appends:
        yield warn(
            "broker durability",
            "appendonly is off: a restart loses the messages",
            "set appendonly to yes; without it the keeper publishes them again, but late",
        )
    limit = facts.max_bytes or facts.total_bytes
    used = f"{facts.used_bytes / 1e6:,.0f} MB"
    if limit and facts.used_bytes > FULL_SHARE * limit:
        yield warn("broker memory", f"{used} of {limit / 1e6:,.0f} MB are used", "raise maxmemory, or add workers")
    else:
        yield ok("broker memory", f"{used} are used" + (f", of {limit / 1e6:,.0f} MB" if limit else ""))


def check_messages(settings: Settings, store_id: str, queues: Sequence[str]) -> list[Finding]:
    """Whether the messages that workers get next are of this store, and whether some were set aside."""
    if not is_redis(settings.broker):
        return [skipped("messages", "this broker lets nobody look at a message without taking it")]
    with client_of(settings.broker, connect_timeout=TIMEOUT, timeout=TIMEOUT) as client:
        heads = {queue: peek(client, queue) for queue in queues}
        aside = client.llen(SET_ASIDE_QUEUE)
    return [*judge_heads(heads, store_id), judge_set_aside(int(aside))]


def peek(client: redis.Redis, queue: str) -> list[bytes]:
    """The messages that leave the queue next, of each priority. They stay."""
    items: list[Any] = [item for key in keys_of(queue) for item in client.lrange(key, -PEEKED, -1)]
    return items


def store_of(message: bytes) -> str | None:
    """The id of the store that a message on Redis belongs to; None when it is no message of inferq."""
    try:
        return inferq_messages.store_of(orjson.loads(message)["headers"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def judge_heads(heads: Mapping[str, Sequence[bytes]], store_id: str) -> Iterator[Finding]:
    sane = True
    for queue, messages in heads.items():
        stores = [store_of(message) for message in messages]
        foreign = [store for store in stores if store not in (None, store_id)]
        if foreign:
            sane = False
            yield fail(
                "messages",
                f"queue {queue} holds messages of another store, {foreign[0]} ({len(foreign)} of the next "
                f"{len(stores)}); this store is {store_id}",
                "let both sides use one INFERQ_STORE_URL, or give each system a broker of its own",
            )
        if None in stores:
            sane = False
            yield warn(
                "messages",
                f"queue {queue} holds messages that are not of inferq ({stores.count(None)} of the next {len(stores)})",
                f"find who writes into {queue}; workers set them aside",
            )
    if sane:
        n = sum(map(len, heads.values()))
        told = f"the next {n} are of this store" if n else "none waits"
        yield ok("messages", f"{told}; queues: {', '.join(heads)}")


def judge_set_aside(count: int) -> Finding:
    if count:
        return warn(
            "set aside",
            f"{count} messages that were not of this system, or were damaged, lie in {SET_ASIDE_QUEUE}",
            f"look at one (redis-cli LRANGE {SET_ASIDE_QUEUE} 0 0), stop who sends them, then DEL {SET_ASIDE_QUEUE}",
        )
    return ok("set aside", "no message was set aside")
