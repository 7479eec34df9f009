"""How ids are written, for whoever reads them: of jobs and batches, and of a caller's place in a trace.

Nothing but the standard library, so that a client of the HTTP gateway needs no more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NewType
from uuid import UUID

JobId = NewType("JobId", str)
BatchId = NewType("BatchId", str)

# https://www.w3.org/TR/trace-context/#traceparent-header; one that is malformed has to be ignored.
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


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
