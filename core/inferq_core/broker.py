"""The broker as both sides see it: its queues, how urgent a message is there, and how to publish."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import kombu
import redis
from kombu.exceptions import OperationalError

from inferq_core import redis_lists
from inferq_core.broker_url import check_url, is_redis, is_sentinel, kombu_url, sentinels_of, tls_options
from inferq_core.errors import BrokerUnavailable
from inferq_core.logging import get_logger
from inferq_core.messages import JobMessage, Nudge
from inferq_core.settings import redact
from inferq_core.states import Priority

# Seconds until an unreachable broker is reported; the job is durable by then, so waiting longer helps nobody.
CONNECT_TIMEOUT = 4.0
# AMQP delivers the highest priority first.
AMQP_PRIORITY = {Priority.INTERACTIVE: 9, Priority.NORMAL: 5, Priority.BULK: 1}
AMQP_MAX_PRIORITY = 10
# The list of a Redis broker onto which workers put what came through a queue and is not a message of this system.
SET_ASIDE_QUEUE = "inferq.set-aside"
# Messages that an AMQP broker keeps there, as many as workers keep on Redis; the oldest go.
SET_ASIDE_MAX = 10_000

log = get_logger(__name__)

# What becomes of jobs whose messages the broker did not take: for logs.
KEEPER_PUBLISHES = "the keeper publishes them"

Answer = TypeVar("Answer")


def transport_options(url: str) -> dict[str, Any]:
    """Options of kombu's transport.

    On Redis the broker delivers at most once and the store's ledger makes it at least once, so kombu's emulation of
    acknowledgements (a second ledger, with visibility timeouts) is off.
    """
    if not is_redis(url):
        return {}
    return _sentinel_transport_options(url) | {
        "ack_emulation": False,
        "priority_steps": sorted(redis_lists.STEPS.values()),
        # A server that neither answers nor goes away must not hold the worker's only thread.
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": CONNECT_TIMEOUT,
    }


class _Unshown(Mapping[str, Any]):
    """Options for whoever unpacks them. As text, and as the JSON in which workers answer `inspect`, they are hidden."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __repr__(self) -> str:
        return repr(self.__json__())

    def __json__(self) -> dict[str, str]:  # kombu's name for it
        return dict.fromkeys(self._options, "***")


def _sentinel_transport_options(url: str) -> dict[str, Any]:
    if not is_sentinel(url):
        return {}
    place = sentinels_of(url)
    return {
        "master_name": place.master_name,
        "sentinel_kwargs": _Unshown(redis_lists.sentinel_options(place, CONNECT_TIMEOUT)),
    }


def queue(name: str, url: str) -> kombu.Queue:
    """The queue as every party declares it (a different declaration is refused by AMQP brokers)."""
    arguments = None if is_redis(url) else {"x-max-priority": AMQP_MAX_PRIORITY}
    return kombu.Queue(name, kombu.Exchange(name), routing_key=name, durable=True, queue_arguments=arguments)


def connect(url: str) -> kombu.Connection:
    """A connection for publishing over AMQP."""
    return kombu.Connection(
        kombu_url(url),
        connect_timeout=CONNECT_TIMEOUT,
        ssl=tls_options(url) or False,
        transport_options={"read_timeout": CONNECT_TIMEOUT, "write_timeout": CONNECT_TIMEOUT},
    )


class Publisher:
    """Publishes messages and reads queue depths. Safe for threads; connects when first used."""

    def __init__(self, broker_url: str) -> None:
        self._url = check_url(broker_url)
        self._broker: _Redis | _Amqp = (_Redis if is_redis(broker_url) else _Amqp)(broker_url)
        self._lock = threading.Lock()

    def publish(self, messages: Sequence[JobMessage]) -> None:
        """Publish all messages, in order.

        Raises BrokerUnavailable when the broker does not take them, or what was published just before, after one
        reconnect; some may be published then, which is harmless: a job is claimed once however many messages name it.
        In a burst the answer is read by the next call (see `redis_lists.Pusher`), or by `close`.
        """
        if messages:
            self._with_reconnect(lambda: self._broker.publish(messages))

    def nudge(self, nudge: Nudge) -> None:
        """Publish it unless one waits in its queue already, which says as much. Raises BrokerUnavailable."""
        if self.depth(nudge.queue) == 0:
            self._with_reconnect(lambda: self._broker.publish([nudge]))

    def depth(self, name: str) -> int:
        """Messages waiting in the queue, all priorities together. Raises BrokerUnavailable."""
        return self._with_reconnect(lambda: self._broker.depth(name))

    def ping(self) -> None:
        """Raises BrokerUnavailable when the broker does not answer."""
        self._with_reconnect(self._broker.ping)

    def close(self) -> None:
        """Close the connections, once the broker has taken what was published, or does not answer."""
        with self._lock:
            try:
                self._broker.settle()
            except self._broker.errors() as error:
                log.warning("publish_failed", reason=str(self._unavailable(error)), consequence=KEEPER_PUBLISHES)
            finally:
                self._broker.close()

    def _with_reconnect(self, action: Callable[[], Answer]) -> Answer:
        with self._lock:
            try:
                try:
                    return action()
                except self._broker.errors():
                    self._broker.close()
                    return action()
            except self._broker.errors() as error:
                self._broker.close()
                raise self._unavailable(error) from error

    def _unavailable(self, error: BaseException) -> BrokerUnavailable:
        reason = f"{type(error).__name__}: {error}"
        return BrokerUnavailable(f"the broker at {redact(self._url)} does not answer ({reason})")


class _Redis:
    def __init__(self, url: str) -> None:
        self._client = redis_lists.client_of(url, connect_timeout=CONNECT_TIMEOUT, timeout=CONNECT_TIMEOUT)
        self._pusher = redis_lists.Pusher(self._client)

    def publish(self, messages: Sequence[JobMessage | Nudge]) -> None:
        self._pusher.push(messages)

    def settle(self) -> None:
        self._pusher.settle()

    def depth(self, name: str) -> int:
        return redis_lists.depth(self._client, name)

    def ping(self) -> None:
        self._client.ping()

    def close(self) -> None:
        self._pusher.drop()
        self._client.connection_pool.disconnect()
        self._client.connection_pool.reset()

    def errors(self) -> tuple[type[BaseException], ...]:
        return (redis.RedisError, OSError)


class _Amqp:
    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: kombu.Connection | None = None
        self._producer: kombu.Producer | None = None
        self._declared: set[str] = set()

    def publish(self, messages: Sequence[JobMessage | Nudge]) -> None:
        producer = self._open()
        for message in messages:
            if message.queue not in self._declared:
                queue(message.queue, self._url)(producer.channel).declare()
                self._declared.add(message.queue)
            producer.publish(
                message.body(),
                exchange="",
                routing_key=message.queue,
                headers=message.headers(),
                content_type="application/json",
                content_encoding="utf-8",
                priority=AMQP_PRIORITY[message.priority],
                delivery_mode=2,
            )

    def settle(self) -> None:
        """AMQP without confirms has no answers."""

    def depth(self, name: str) -> int:
        declared = queue(name, self._url)(self._open().channel)
        return int(declared.queue_declare(passive=False).message_count)

    def ping(self) -> None:
        self._open().connection.channel().close()

    def close(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.release()

    def errors(self) -> tuple[type[BaseException], ...]:
        errors: tuple[type[BaseException], ...] = (OSError, OperationalError)
        if self._connection is not None:
            errors += tuple(self._connection.connection_errors) + tuple(self._connection.channel_errors)
        return errors

    def _open(self) -> kombu.Producer:
        if self._producer is None:
            self._connection = connect(self._url)
            # Whoever calls decides when to try again; kombu would wait seconds for it.
            self._connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            self._producer = kombu.Producer(self._connection.channel())
            self._declared.clear()
        return self._producer
