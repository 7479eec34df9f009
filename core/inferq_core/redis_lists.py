"""Messages as they lie in the lists of a Redis or Valkey server, in the layout of kombu's Redis transport.

A queue is one list per priority; producers push on the left, workers pop on the right. Writing these lists directly
costs a tenth of going through kombu's layers, and any Celery worker reads them all the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from inferq_core.broker_url import Sentinels, is_sentinel, is_socket, redis_url, sentinels_of
from inferq_core.messages import JobMessage, Nudge
from inferq_core.states import Priority

# kombu's lists pop the smallest step first.
STEPS = {Priority.INTERACTIVE: 0, Priority.NORMAL: 3, Priority.BULK: 6}
# Seconds within which the next push is expected to read the answer of the last one.
BURST = 1.0
# What kombu puts between the name of a queue and a step above 0.
SEPARATOR = "\x06\x16"


def client_of(broker_url: str, *, connect_timeout: float, timeout: float | None = None) -> redis.Redis:
    """A plain client; certificates are verified for rediss:// unless the URL says otherwise. Connects to nothing.

    `timeout`: seconds that an answer may take.
    """
    options: dict[str, Any] = {"retry": _once(), "socket_timeout": timeout}
    if is_sentinel(broker_url):
        return _primary_of(sentinels_of(broker_url), {**options, "socket_connect_timeout": connect_timeout})
    if not is_socket(broker_url):
        options["socket_connect_timeout"] = connect_timeout
    if broker_url.startswith("rediss://"):
        options["ssl_cert_reqs"] = "required"  # a query of the URL goes above this
    return redis.Redis.from_url(redis_url(broker_url), **options)


def _once() -> Retry:
    """Whoever calls decides when to try again; redis-py would do so behind their back, for seconds."""
    return Retry(NoBackoff(), 0)


def _primary_of(place: Sentinels, options: dict[str, Any]) -> redis.Redis:
    """A client of whichever server the sentinels call the primary when it connects."""
    finder = Sentinel(place.hosts, sentinel_kwargs=sentinel_options(place, options["socket_connect_timeout"]))  # type: ignore[no-untyped-call]
    client: redis.Redis = finder.master_for(  # type: ignore[no-untyped-call]
        place.master_name, db=place.database, username=place.username, password=place.password, **options
    )
    return client


def sentinel_options(place: Sentinels, timeout: float) -> dict[str, Any]:
    """How a sentinel is asked: `timeout` in seconds for connecting and for an answer, once."""
    return {
        "retry": _once(),
        "username": place.sentinel_username,
        "password": place.sentinel_password,
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout,
    }


def key_of(queue: str, step: int) -> str:
    """The list of a queue at a priority step."""
    return f"{queue}{SEPARATOR}{step}" if step else queue


def keys_of(queue: str) -> list[str]:
    """The lists of a queue, the most urgent first."""
    return [key_of(queue, step) for step in STEPS.values()]


class Pusher:
    """Puts messages into their lists over a connection of its own. Not safe for threads.

    A push within BURST seconds of the last one does not wait for its answer: the next push reads it, and `close`. When
    it turns out that the server did not take what was sent, or went away, the next push sends it again. It takes a
    connection: what redis-py's client does around a command costs as much again as the command.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None
        self._unread = 0  # answers
        self._sent: Sequence[JobMessage | Nudge] = ()  # what they will be about
        self._last = float("-inf")

    def push(self, messages: Sequence[JobMessage | Nudge]) -> None:
        """Put the messages into their lists, in order. Raises redis.RedisError and OSError; push again then.

        The second time it waits for the answer, and what it does not take then is given up.
        """
        burst = self._connection is not None and time.monotonic() - self._last < BURST
        if self._connection is None:
            self._connection = self._pool.get_connection()
        else:
            self._read_answers()
            if self._connection.can_read(timeout=0):
                raise redis.ConnectionError("the server sent what nobody asked for")
        due, self._sent = [*self._sent, *messages], ()
        self._unread = _send(self._connection, due)
        if burst:
            self._sent = due
        else:
            self._read_answers()
        self._last = time.monotonic()

    def settle(self) -> None:
        """Wait for the answers that are due. Raises redis.RedisError and OSError."""
        if self._connection is not None:
            self._read_answers()

    def drop(self) -> None:
        """Forget the connection, without an answer. What it had sent is sent again with the next push."""
        self._connection, self._unread = None, 0

    def _read_answers(self) -> None:
        while self._unread:
            self._connection.read_response()
            self._unread -= 1
        self._sent = ()


def _send(connection: redis.Connection, messages: Sequence[JobMessage | Nudge]) -> int:
    """One trip for all of them; the number of answers that will come."""
    commands = [
        ("LPUSH", key, *map(encode, run))
        for key, run in groupby(messages, key=lambda message: key_of(message.queue, STEPS[message.priority]))
    ]
    connection.send_packed_command(connection.pack_commands(commands))  # type: ignore[no-untyped-call]
    return len(commands)


def depth(client: redis.Redis, queue: str) -> int:
    """Messages in the queue, all priorities together. Raises redis.RedisError."""
    pipeline = client.pipeline(transaction=False)
    for key in keys_of(queue):
        pipeline.llen(key)
    return sum(pipeline.execute())


def encode(message: JobMessage | Nudge) -> bytes:
    """The message as an item of a list: kombu's envelope, with the body as plain text.

    The delivery tag is there because kombu wants one; the worker's transport gives it another.
    """
    return orjson.dumps(
        {
            "body": message.body().decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": message.headers(),
            "properties": {
                "delivery_tag": "",
                "delivery_info": {"exchange": "", "routing_key": message.queue},
                "body_encoding": "utf-8",
            },
        }
    )
