"""Ids: time-ordered UUIDs (version 7, RFC 9562), so that tables grow at their end."""

from __future__ import annotations

import hashlib
from typing import NewType
from uuid import UUID

import uuid_utils

JobId = NewType("JobId", str)
BatchId = NewType("BatchId", str)


def new_job_id() -> JobId:
    return JobId(str(uuid_utils.uuid7()))


def new_batch_id() -> BatchId:
    return BatchId(str(uuid_utils.uuid7()))


def parse_job_id(text: str) -> JobId | None:
    """The canonical form of `text`, or None when it is no UUID at all."""
    try:
        return JobId(str(UUID(text)))
    except (ValueError, AttributeError, TypeError):
        return None


def lowest_id(at: float) -> JobId:
    """The smallest id that could be made at `at` (seconds since 1970); its version bits do not matter in an order."""
    return JobId(str(UUID(int=int(at * 1000) << 80)))


def routing_hash(key: str) -> int:
    """A stable signed 64-bit hash of a routing key (BLAKE2b), the same on every host and version."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
