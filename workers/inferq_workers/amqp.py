"""kombu's AMQP transport, which leaves bodies as they are.

kombu unpacks a body when a header says that it is compressed: the sender would choose how much memory that takes, and
an unacknowledged message that ends a worker comes to the next one. No message of this system is compressed, so what is
left packed is set aside as damaged.
"""

from __future__ import annotations

from typing import Any

import kombu
from kombu.transport import pyamqp


class Channel(pyamqp.Channel):
    def message_to_python(self, raw_message: Any) -> kombu.Message:
        (raw_message.properties.get("application_headers") or {}).pop("compression", None)
        return super().message_to_python(raw_message)


class Connection(pyamqp.Connection):
    Channel = Channel


class Transport(pyamqp.Transport):
    """What `broker_transport` names for amqp://, and for amqps:// with its options of TLS."""

    Connection = Connection
