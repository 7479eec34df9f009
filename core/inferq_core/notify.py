"""Telling waiting clients that their jobs ended (Redis and Valkey; elsewhere clients poll).

A client that waits listens on a channel of its own (publish and subscribe); workers publish one message per
(client, batch). A notification that is lost costs latency, never the result: the store is polled underneath.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
import redis

from inferq_core.broker import CONNECT_TIMEOUT
from inferq_core.broker_url import is_redis
from inferq_core.ids import JobId
from inferq_core.logging import get_logger
from inferq_core.redis_lists import client_of
from inferq_core.store.records import StoredResult

CHANNEL_PREFIX = "inferq.reply."
# Outputs larger than this (characters of JSON) are not carried: the client reads them from the store.
MAX_CARRIED_OUTPUTS = 4096
# Seconds a listening thread blocks before it looks whether it should stop.
POLL_SECONDS = 0.5
# Seconds between two attempts of a listener to subscribe again.
RECONNECT_SECONDS = 1.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Alike:
    """Results that differ only in what `each` holds of every job: id, outputs, attempt, created_at.

    A batch sends what its jobs have in common once.
    """

    common: StoredResult
    each: Sequence[tuple[JobId, Any, int, float]]


Reply: TypeAlias = StoredResult | Alike | JobId


class Notifier:
    """The side of whoever ends jobs: publishes the results that clients wait for."""

    def __init__(self, broker_url: str) -> None:
        self._client: redis.Redis | None = None
        if is_redis(broker_url):
            self._client = client_of(broker_url, connect_timeout=CONNECT_TIMEOUT, timeout=CONNECT_TIMEOUT)

    def notify(self, results: Mapping[str, Sequence[Reply]]) -> None:
        """Publish each client's results; a broker that is away is logged, not raised (clients poll).

        Of a result whose outputs are larger than MAX_CARRIED_OUTPUTS give the id. Outputs may be JSON already, as an
        `orjson.Fragment`.
        """
        if self._client is None or not results:
            return
        pipeline = self._client.pipeline(transaction=False)
        for reply_to, members in results.items():
            pipeline.publish(CHANNEL_PREFIX + reply_to, encode_results(members))
        try:
            pipeline.execute()
        except redis.RedisError as error:
            log.warning("notify_failed", clients=len(results), reason=str(error))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def encode_results(results: Sequence[Reply]) -> bytes:
    return orjson.dumps([_alike(reply) if isinstance(reply, StoredResult) else reply for reply in results])


def _alike(result: StoredResult) -> Alike:
    return Alike(result, [(result.id, result.outputs, result.attempt, result.created_at)])


def decode_results(data: bytes) -> tuple[list[StoredResult], list[str]]:
    """The results carried, and the ids of those that must be read from the store."""
    results: list[StoredResult] = []
    ids: list[str] = []
    for item in orjson.loads(data):
        if isinstance(item, str):
            ids.append(item)
        else:
            common = item["common"]
            results += [
                StoredResult.from_json({**common, "id": id_, "outputs": outputs, "attempt": attempt, "created_at": at})
                for id_, outputs, attempt, at in item["each"]
            ]
    return results, ids


class ReplyListener:
    """The client's side: one thread that hands what arrives to a callback.

    `on_results(results, ids)` gets the results carried and the ids of finished jobs whose results were too large; it is
    called with two empty lists after the subscription broke, when notifications may have been lost.
    """

    def __init__(self, broker_url: str, on_results: Callable[[list[StoredResult], list[str]], None]) -> None:
        self._url = broker_url
        self._on_results = on_results
        self._stopping = threading.Event()
        self._subscribed = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.reply_to: str | None = uuid.uuid4().hex if is_redis(broker_url) else None
        # What is published from now on arrives, as far as is known.
        self.is_live = False

    def start(self) -> None:
        """Start listening, once; waits a moment for the subscription, without failing when the broker is away."""
        with self._lock:
            if self.reply_to is None or self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="inferq-replies", daemon=True)
            self._thread.start()
        self._subscribed.wait(timeout=CONNECT_TIMEOUT)

    def close(self) -> None:
        self.is_live = False
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * POLL_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except redis.RedisError as error:
                self.is_live = False
                self._subscribed.set()  # nobody should wait for a broker that is away
                log.warning("replies_lost", reason=str(error))
                self._on_results([], [])
                self._stopping.wait(RECONNECT_SECONDS)

    def _listen(self) -> None:
        with client_of(self._url, connect_timeout=CONNECT_TIMEOUT) as client, client.pubsub() as pubsub:
            pubsub.subscribe(f"{CHANNEL_PREFIX}{self.reply_to}")
            while not self._stopping.is_set():
                message = pubsub.get_message(timeout=POLL_SECONDS)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self.is_live = True
                    self._subscribed.set()
                elif message["type"] == "message":
                    self._hand_over(message["data"])

    def _hand_over(self, data: bytes) -> None:
        try:
            results, ids = decode_results(data)
        except (ValueError, TypeError, KeyError) as error:
            log.warning("reply_damaged", reason=f"{type(error).__name__}: {error}")
            results, ids = [], []  # the waiting threads look into the store
        self._on_results(results, ids)
