"""What the store knows of uploads: bodies of many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from inferq_core.ids import NumberedIds, UploadId
from inferq_core.states import Method, Priority, State
from inferq_core.store.records import NewJob


class UploadState(StrEnum):
    """How far the body of an upload has come; its jobs have states of their own."""

    READING = "reading"
    INCOMPLETE = "incomplete"  # it broke off; what was accepted by then stays
    COMPLETE = "complete"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Upload:
    """Many rows from one body, a job each: what never changes of it."""

    id: UploadId
    owner: str | None
    idempotency_key: str | None
    model: str
    version: str | None
    method: Method
    priority: Priority
    deadline: float | None  # seconds from the acceptance of each job
    metadata: str | None  # JSON object
    format: str  # how the body is read
    secret: bytes
    started_ms: int
    bytes_total: int | None  # of the body, as its sender says

    @property
    def ids(self) -> NumberedIds:
        """The ids of its jobs by the numbers of their rows, from 0."""
        return NumberedIds(self.secret, self.started_ms)


@dataclass(frozen=True, slots=True)
class UploadNow:
    """An upload at one moment. `accepted`: rows 0 to this one, without it, are jobs."""

    upload: Upload
    state: UploadState
    accepted: int
    rows_digest: str  # SHA-256 of the accepted rows
    bytes_read: int
    reason: str | None  # why it is incomplete
    created_at: float
    ended_at: float | None  # of the reading


@dataclass(frozen=True, slots=True)
class UploadStep:
    """Rows that are accepted together: those from number `first` on."""

    upload: Upload
    reader: str  # the request that reads the body; another one takes over with a name of its own
    first: int
    jobs: Sequence[NewJob]
    rows_digest: str  # of all rows up to the last of these
    bytes_read: int


@dataclass(frozen=True, slots=True)
class UploadEnd:
    """How the reading of a body ended."""

    state: UploadState
    reason: str | None
    bytes_read: int


@dataclass(frozen=True, slots=True)
class UploadCounts:
    """Jobs of an upload by state, at one moment."""

    accepted: int
    states: Mapping[State, int]
