"""kombu's Redis transport, fetching many messages in one blocking command.

`BLMPOP … RIGHT COUNT n` over the priority lists takes up to n messages of the most urgent list that has some, in their
order (https://redis.io/docs/latest/commands/blmpop/, Redis 7 and Valkey); kombu's `BRPOP` takes one. Acknowledgement
emulation is off (`broker.transport_options`): the store's ledger is what makes delivery at least once. What the base
class does around the blocking command (its health check, pausing, authentication) relies on names that say BRPOP; they
are kept.

What arrives is not trusted: each item is decoded by itself, and one that is no message is set aside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty
from time import monotonic
from typing import Any

import kombu
import redis
from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str

from inferq_core.broker_url import SENTINEL_PORT
from inferq_core.errors import MessageRejected
from inferq_core.logging import get_logger
from inferq_workers.aside import set_aside
from inferq_workers.credit import QoS
from inferq_workers.envelope import parse_item
from inferq_workers.express import EXPRESS, ExpressLine, Poller

log = get_logger(__name__)

# Items fetched at once for consumers that set no bound (replies to remote control).
UNBOUNDED_COUNT = 1
# Why a server refuses BLMPOP for good: it does not know it, or this user may not use it. A user who may not read the
# lists is told so in other words; no other command would help then.
_REFUSALS = ("unknown command", "permissions to run")


class Channel(kombu_redis.Channel):
    """A channel whose consumers get many messages from one command, and urgent ones when they have enough of others."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.express = ExpressLine(self)
        super().__init__(*args, **kwargs)
        self.QoS = QoS
        self.handlers[EXPRESS] = self._express_read
        self._on_message: dict[str, Callable[[kombu.Message], Any]] = {}
        # What the command under way is.
        self._asked_many = False

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any) -> Any:  # noqa: FBT001 - kombu's shape
        def on_message(message: kombu.Message) -> None:
            if not no_ack:
                self.qos.append(message, message.delivery_tag)
            callback(message)

        self._on_message[queue] = on_message
        return super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)

    def _basic_cancel(self, consumer_tag: str) -> Any:
        self._on_message.pop(self._tag_to_queue.get(consumer_tag, ""), None)
        return super()._basic_cancel(consumer_tag)

    def _brpop_start(self, timeout: float | None = None) -> None:
        if not self.active_queues:
            return
        self._asked_many = self.connection.takes_many
        room = self.qos.room(len(self.priority_steps) - 1)
        count = UNBOUNDED_COUNT if room is None else max(1, room)
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        command = self.command(len(self.priority_steps), count, many=self._asked_many, timeout=timeout)
        self.client.connection.send_command(*command)

    def command(self, levels: int, count: int, *, many: bool, timeout: float | None = None) -> Sequence[Any]:
        """What asks for `count` messages of the `levels` most urgent priorities; without `many` for one."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        steps = self.priority_steps[:levels]
        keys = [self.global_keyprefix + self._q_for_pri(queue, step) for step in steps for queue in queues]
        seconds = (self.brpop_timeout if timeout is None else timeout) or 0
        return ["BLMPOP", seconds, len(keys), *keys, "RIGHT", "COUNT", count] if many else ["BRPOP", *keys, seconds]

    def levels_with_room(self) -> tuple[int, int]:
        """How many levels, the most urgent first, have room, and for how many messages the last of them has."""
        levels = count = 0
        for level in range(len(self.priority_steps)):
            room = self.qos.room(level)
            if not room:
                break
            levels, count = level + 1, room
        return levels, count

    def _brpop_read(self, **options: Any) -> bool:
        try:
            self._take_reply(self.client, options, many=self._asked_many)
        finally:
            self._in_poll = None
            # No command is under way on this connection now, which is when it may be authenticated anew.
            self._flush_brpop_reauth()
        return True

    def _express_read(self) -> bool:
        try:
            self._take_reply(self.express.client, {}, many=self.express.asked_many)
        finally:
            self.express.answered()
        return True

    def _take_reply(self, client: Any, options: dict[str, Any], *, many: bool) -> None:
        try:
            key, items = self._read_reply(client, options, many=many)
            queue, *step = key.removeprefix(self.global_keyprefix).rsplit(self.sep, 1)
            self._queue_cycle.rotate(queue)
            self._hand_over(queue, self.priority_steps.index(int(step[0])) if step else 0, key, items)
        except self.connection_errors as error:
            if not self._closing:
                raise
            log.warning("reply_lost", reason=str(error))  # closing goes on
            raise Empty from error

    def _read_reply(self, client: Any, options: dict[str, Any], *, many: bool) -> tuple[str, Sequence[bytes]]:
        """The list and the items that came out of it, first come first. Raises Empty when the time ran out."""
        try:
            # By another name than the command's: redis-py would give the reply another shape.
            reply = client.parse_response(client.connection, "inferq" if many else "BRPOP", **options)
        except self.connection_errors:
            client.connection.disconnect()  # the next turn connects again
            raise
        except self.ResponseError as error:
            self._on_refusal(client, error, many=many)
            raise Empty from error
        if not reply:
            raise Empty
        key, items = reply
        key = bytes_to_str(key)
        if many:
            return key, items
        # kombu's client has taken its prefix off.
        return self.global_keyprefix + key, [items]

    def _on_refusal(self, client: Any, error: Exception, *, many: bool) -> None:
        """Use the other command if that helps; else connect again, later, as to a server that is away.

        What helps then is somebody else's doing: a full disk, a failover, rights that were taken away.
        """
        if many and any(reason in str(error) for reason in _REFUSALS):
            self.connection.takes_many = False
            log.warning("fetching_one_by_one", reason=str(error), advice="Redis 7 or Valkey fetch many at once")
            return
        client.connection.disconnect()
        raise redis.ConnectionError(f"the broker gives no messages: {error}") from error

    def _hand_over(self, queue: str, level: int, key: str, items: Sequence[bytes]) -> None:
        """Give the items to the consumer, as long as it takes some; the others go back.

        They do when they are larger than was expected, when nobody consumes any more, and when one of them fails.
        """
        on_message = None if self._closing else self._on_message.get(queue)
        waiting = deque(items)
        try:
            while waiting and on_message is not None and self.qos.takes(level):
                self._deliver(waiting.popleft(), queue, key, on_message)
        finally:
            self._push_back({key: list(waiting)})

    def _deliver(self, item: bytes, queue: str, key: str, on_message: Callable[[kombu.Message], Any]) -> None:
        try:
            message = self.Message(parse_item(item), channel=self)
        except MessageRejected as error:
            set_aside(self, item, str(error), queue=queue)
            return
        message.came_from = key, item
        on_message(message)

    def hand_back(self) -> None:
        """Fetch no more: what a command under way still brings goes back, then what is not acknowledged.

        It all comes out again in its order, to others; this channel must not be polled any more.
        """
        self._closing = True
        if self._in_poll:
            with suppress(Empty):
                self._brpop_read()
        self._finish_express()
        self.qos.restore_unacked()

    def _finish_express(self) -> None:
        if self.express.under_way:
            with suppress(Empty):
                self._express_read()

    def _on_connection_disconnect(self, connection: Any) -> None:
        self.express.lost(connection)
        super()._on_connection_disconnect(connection)

    def give_back(self, messages: Sequence[kombu.Message]) -> None:
        """Messages in the order in which they came, to where they came from. They count as settled then."""
        lists: dict[str, list[bytes]] = {}
        for message in messages:
            key, item = message.came_from
            lists.setdefault(key, []).append(item)
        if self._push_back(lists):
            for message in messages:
                message._state = "REQUEUED"  # noqa: SLF001 - as after its own requeue()

    def _push_back(self, lists: Mapping[str, Sequence[bytes]]) -> bool:
        """Put items back to the end they came from, so that they come out again in the same order, before the others.

        False when the server takes none: their jobs are published again by the keeper.
        """
        lists = {key: items for key, items in lists.items() if items}
        if not lists:
            return True
        try:
            with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipeline:
                for key, items in lists.items():
                    pipeline.rpush(key.removeprefix(self.global_keyprefix), *reversed(items))
                pipeline.execute()
        except (*self.connection_errors, self.ResponseError) as error:
            log.warning("messages_not_given_back", messages=sum(map(len, lists.values())), reason=str(error))
            return False
        return True

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Go without on a full server: only Celery's own publishers look it up, and the worker is what makes room."""
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)
        except redis.OutOfMemoryError as error:
            log.warning("broker_full", reason=str(error), queue=queue)

    def _size(self, queue: str) -> int:
        """As the base class, but outside of a transaction, in which a full server refuses even reading."""
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipeline:
            for step in self.priority_steps:
                pipeline.llen(self._q_for_pri(queue, step))
            return sum(pipeline.execute())

    def _restore_at_beginning(self, message: kombu.Message) -> None:
        """A message that is given back comes out next."""
        self.give_back([message])

    _restore = _restore_at_beginning

    def close(self) -> None:
        self._closing = True
        try:
            self._finish_express()
            super().close()
        finally:
            if self._qos is not None:
                # A close that broke off has not done it, and it would be done at the exit of the process.
                self._qos.restore_unacked_once()
            self._disconnect_pools()


class Transport(kombu_redis.Transport):
    """What `broker_transport` names for redis:// and rediss://."""

    Channel = Channel
    # Off for a server that refused BLMPOP.
    takes_many = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()


class SentinelChannel(Channel, kombu_redis.SentinelChannel):
    """The same, on whichever server the sentinels call the primary."""


class SentinelTransport(Transport):
    """What `broker_transport` names for sentinel://."""

    default_port = SENTINEL_PORT
    Channel = SentinelChannel


class SocketTransport(Transport):
    """The same for socket://, whose path kombu would take for a host if the transport did not say that it reads URLs.

    (kombu's own form, redis+socket://, names kombu's own transport, whatever else is named.)
    """

    can_parse_url = True
