"""A channel's second connection, on which it waits for urgent work while it has enough of the other.

A blocking command cannot be taken back, and Redis looks for those that waited long enough ten times a second only. One
command that named the urgent lists alone would therefore keep the others waiting when there is room for them again. So
the channel's own command always names all lists, or is not sent; this one names those that still may come.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from kombu.transport.redis import MultiChannelPoller

# What kombu's poller knows its sockets by, beside BRPOP and LISTEN.
EXPRESS = "EXPRESS"


class Poller(MultiChannelPoller):
    """kombu's, with the express lines of its channels."""

    def on_poll_start(self) -> None:
        super().on_poll_start()
        for channel in self._channels:
            if channel.active_queues:
                channel.express.ask(self)

    def on_readable(self, fileno: int) -> Any:
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if kind != EXPRESS:
            return super().on_readable(fileno)
        # kombu leaves what comes unread while the channel may not consume, which is just when this comes.
        if channel.express.under_way:
            return channel.handlers[EXPRESS]()
        return channel.express.client.connection.disconnect()  # the server closed it, as it does with idle ones

    def handle_event(self, fileno: int, event: int) -> Any:
        _, kind = self._fd_to_chan.get(fileno, (None, None))
        # Reading tells what is wrong as well.
        return (self.on_readable(fileno), self) if kind == EXPRESS else super().handle_event(fileno, event)


class ExpressLine:
    """Opens its connection when it is first needed."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._asked_at: float | None = None
        self.client: Any = None
        self.asked_many = False

    @property
    def under_way(self) -> bool:
        """A command was sent, and its reply has not been read."""
        return self._asked_at is not None

    def ask(self, poller: Poller) -> None:
        """Send a command, if the channel sends none for want of room and there is room for the most urgent work."""
        if self.under_way:
            self._check_health()
            return
        channel = self._channel
        if channel.qos.bound is None or channel.qos.can_consume():
            return
        levels, count = channel.levels_with_room()
        if not levels:
            return
        if self.client is None:
            self.client = channel._create_client(asynchronous=True)  # noqa: SLF001 - as kombu makes its own
        if not poller._client_registered(channel, self.client, EXPRESS):  # noqa: SLF001
            poller._register(channel, self.client, EXPRESS)  # noqa: SLF001
        self.asked_many = channel.connection.takes_many
        self._asked_at = monotonic()
        self.client.connection.send_command(*channel.command(levels, count, many=self.asked_many))

    def answered(self) -> None:
        self._asked_at = None

    def lost(self, connection: Any) -> None:
        """That connection was closed."""
        if self.client is not None and self.client.connection is connection:
            self._asked_at = None

    def _check_health(self) -> None:
        channel, asked_at = self._channel, self._asked_at or 0.0
        if channel.health_check_interval and monotonic() - asked_at > (
            channel.brpop_timeout + channel.health_check_interval
        ):
            self.client.connection.disconnect()  # nobody answers there any more
