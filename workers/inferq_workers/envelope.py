"""What lies in a list of Redis, as kombu's envelope of a message. What arrives is not trusted."""

from __future__ import annotations

import base64
from itertools import count
from typing import Any

import orjson

from inferq_core.errors import MessageRejected

# Bytes of an item; a message of 256 jobs has 13,000. Longer ones are not parsed at all.
MAX_ITEM_BYTES = 1 << 20
_tags = count(1)


def parse_item(item: bytes) -> dict[str, Any]:
    """An item of a list as kombu's envelope. Raises MessageRejected.

    Whatever kombu would trip over later is refused here; a compressed body as well, because unpacking it would be the
    sender's choice of how much memory that takes.
    """
    if len(item) > MAX_ITEM_BYTES:
        raise MessageRejected(f"it has {len(item)} bytes, a message has at most {MAX_ITEM_BYTES}")
    try:
        payload = orjson.loads(item)
    except orjson.JSONDecodeError as error:
        raise MessageRejected(f"it is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise MessageRejected(f"it is no message but a {type(payload).__name__}")
    headers, properties, body = payload.get("headers"), payload.get("properties"), payload.get("body")
    if not (headers is None or isinstance(headers, dict)) or not isinstance(properties, dict):
        raise MessageRejected("its headers or properties are no objects")
    if not isinstance(properties.get("delivery_info"), dict):
        raise MessageRejected("its properties have no delivery_info")
    if headers and headers.get("compression"):
        raise MessageRejected("its body is compressed, which no message of this system is")
    encoding = properties.get("body_encoding")
    if not isinstance(body, str) or encoding not in (None, "utf-8", "base64"):
        raise MessageRejected(f"its body is no text in utf-8 or base64 (body_encoding={str(encoding)[:80]!r})")
    if encoding == "base64":
        try:
            base64.b64decode(body, validate=True)
        except ValueError as error:
            raise MessageRejected(f"its body is no base64: {error}") from None
    # The sender's tag need not be the only one of its kind.
    properties["delivery_tag"] = next(_tags)
    return payload
