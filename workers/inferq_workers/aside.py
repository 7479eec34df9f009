"""Where messages go that are not ours or are damaged: a queue of their own, for an operator to look at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import kombu
import redis

from inferq_core.broker import SET_ASIDE_MAX, SET_ASIDE_QUEUE
from inferq_core.logging import get_logger

log = get_logger(__name__)

# Bytes that are kept of each: all of any message of this system, and the beginning of what is none.
KEPT_BYTES = 65_536


def set_aside(
    channel: Any,
    body: bytes,
    reason: str,
    *,
    queue: str | None,
    headers: Mapping[str, Any] | None = None,
    content_type: str = "application/octet-stream",
    content_encoding: str = "binary",
) -> None:
    """Keep it in SET_ASIDE_QUEUE, which holds the newest SET_ASIDE_MAX, and say so.

    `queue` is where it came from. A broker that is full may refuse it; it is dropped then. Raises the connection's
    errors.
    """
    digest = hashlib.sha256(body).hexdigest()
    log.error("message_set_aside", reason=reason, queue=queue, bytes=len(body), sha256=digest, kept_in=SET_ASIDE_QUEUE)
    about = {
        "inferq_set_aside": reason,
        "inferq_queue": queue,
        "inferq_bytes": len(body),
        "inferq_sha256": digest,
    }
    try:
        kombu.Queue(SET_ASIDE_QUEUE, durable=True, max_length=SET_ASIDE_MAX)(channel).declare()
        kombu.Producer(channel).publish(
            body[:KEPT_BYTES],
            exchange="",
            routing_key=SET_ASIDE_QUEUE,
            headers={**(headers or {}), **about},
            content_type=content_type,
            content_encoding=content_encoding,
        )
        if hasattr(channel, "conn_or_acquire"):  # a list of Redis knows no bound of its own
            with channel.conn_or_acquire() as client:
                # kombu's client does not know that this command has a key.
                client.ltrim(channel.global_keyprefix + SET_ASIDE_QUEUE, 0, SET_ASIDE_MAX - 1)
    except redis.ResponseError as error:
        log.error("message_dropped", reason=f"the broker refused to keep it: {error}", sha256=digest)  # noqa: TRY400
