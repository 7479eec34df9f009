"""Ids: time-ordered UUIDs (version 7, RFC 9562), so that tables grow at their end."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType, Self
from uuid import UUID

import uuid_utils

JobId = NewType("JobId", str)
BatchId = NewType("BatchId", str)
UploadId = NewType("UploadId", str)


_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_job_id() -> JobId:
    return JobId(str(uuid_utils.uuid7()))


def new_batch_id() -> BatchId:
    return BatchId(str(uuid_utils.uuid7()))


def new_upload_id() -> UploadId:
    return UploadId(str(uuid_utils.uuid7()))


# Numbers that the ids of one sequence can hold.
MAX_NUMBERED = 2**32


@dataclass(frozen=True, slots=True)
class NumberedIds:
    """The ids of jobs 0, 1, 2, … of one source. Its key and the first id tell them all, so that nobody keeps them.

    UUIDs of version 7 too: milliseconds (48 bits), the number (32), BLAKE2b of the number under `key` (42). They are
    ordered like the numbers, and whoever has one id but not the key cannot tell another.
    """

    key: bytes
    started_ms: int

    @classmethod
    def from_first(cls, key: bytes, first: JobId) -> Self:
        """The sequence whose id number 0 is `first`."""
        return cls(key, UUID(first).int >> 80)

    def at(self, number: int) -> JobId:
        tail = hashlib.blake2b(number.to_bytes(4, "big"), digest_size=8, key=self.key).digest()
        value = (
            self.started_ms << 80
            | 0x7 << 76  # version
            | number >> 20 << 64
            | 0b10 << 62  # variant
            | (number & 0xFFFFF) << 42
            | int.from_bytes(tail, "big") >> 22
        )
        text = f"{value:032x}"
        return JobId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")

    def has(self, job_id: JobId) -> bool:
        """Whether it is one of them."""
        value = UUID(job_id).int
        return self.at((value >> 64 & 0xFFF) << 20 | value >> 42 & 0xFFFFF) == job_id

    @property
    def bounds(self) -> tuple[JobId, JobId]:
        """No id of the sequence is below the first of these, nor any above or at the second."""
        return lowest_id_at(self.started_ms), lowest_id_at(self.started_ms + 1)


def parse_job_id(text: str) -> JobId | None:
    """The canonical form of `text`, or None when it is no UUID at all."""
    if isinstance(text, str) and _CANONICAL.fullmatch(text):
        return JobId(text)  # a tenth of the price
    try:
        return JobId(str(UUID(text)))
    except (ValueError, AttributeError, TypeError):
        return None


def parse_job_ids(texts: Sequence[str]) -> list[JobId]:
    """The canonical forms of those of `texts` that are UUIDs, in order. Raises TypeError when they are no sequence."""
    try:
        if all(map(_CANONICAL.fullmatch, texts)):
            return [*map(JobId, texts)]
    except TypeError:  # one of them is no text, or all are not
        pass
    return [job_id for job_id in map(parse_job_id, texts) if job_id is not None]


def lowest_id(at: float) -> JobId:
    """The smallest id that could be made at `at` (seconds since 1970); its version bits do not matter in an order."""
    return lowest_id_at(int(at * 1000))


def lowest_id_at(milliseconds: int) -> JobId:
    """The same for whole milliseconds."""
    return JobId(str(UUID(int=milliseconds << 80)))


def routing_hash(key: str) -> int:
    """A stable signed 64-bit hash of a routing key (BLAKE2b), the same on every host and version."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
