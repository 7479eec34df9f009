"""A run: the rows of one file, enqueued once however often it is asked for.

The ids alone tell what was enqueued. Row 0 has an idempotency key made of what decides the answers, and its id fixes
those of all the others (`NumberedIds`). Rows are accepted in order, so how far an earlier attempt came is found by
asking for a few ids, and nothing is kept for each row, here or in the store.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson
from numpy.typing import NDArray

from inferq.admission import Admission
from inferq.bulk import chunks
from inferq.catalog import Catalog
from inferq.intake import Intake
from inferq.options import SubmitOptions
from inferq.row_jobs import RowJobs
from inferq_core.broker import Publisher
from inferq_core.errors import InvalidInput
from inferq_core.ids import MAX_NUMBERED, NumberedIds
from inferq_core.settings import Settings
from inferq_core.signature import CheckedRows
from inferq_core.store.contract import Store

# Ids that one look for the last accepted row asks for.
PROBES = 1_000


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is enqueued, and so what makes a run the same one."""

    model: str
    options: SubmitOptions
    digest: str  # SHA-256 of the file, hexadecimal
    format: str  # how the file is read
    name: str | None  # tells runs of the same file apart

    @property
    def key(self) -> str:
        asked = [self.digest, self.format, self.model, self.options.version, self.options.method.value, self.name]
        return f"file:{hashlib.sha256(orjson.dumps(asked)).hexdigest()}"


class Run:
    """The jobs of one file. Use it as a context manager; not safe for threads.

    Methods raise StoreUnavailable, and can be called again then; a broker that is away delays jobs and loses none.
    """

    def __init__(self, store: Store, settings: Settings, request: RunRequest) -> None:
        self.request = request
        self._store = store
        self._publisher = Publisher(settings.broker)
        catalog = Catalog(store, settings)
        admission = Admission(store, settings, catalog.max_backlog)
        self._jobs = RowJobs(catalog, admission, settings, request.model, request.options)
        self._intake = Intake(store, self._publisher, catalog.limits, admission.count)
        self._secret = hashlib.sha256(request.key.encode() + request.digest.encode()).digest()
        first = store.keyed(request.key)
        self._ids = None if first is None else NumberedIds.from_first(self._secret, first)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._publisher.close()

    @property
    def ids(self) -> NumberedIds | None:
        """The ids of all its jobs, or None while none was ever accepted."""
        return self._ids

    def accepted(self) -> int:
        """How many of its rows were accepted so far, from the first on.

        Raises InvalidInput when it was begun once and its jobs are gone from the store.
        """
        if self._ids is None:
            return 0
        low, high = 0, MAX_NUMBERED  # the first number that was not accepted is among these
        while high - low > 1:
            step = -(-(high - low) // PROBES)
            numbers = range(low, high, step)
            known = self._store.states([self._ids.at(number) for number in numbers])
            there = [number for number in numbers if self._ids.at(number) in known]
            if low not in there:
                raise InvalidInput(
                    f"its rows were submitted from {self.begun} on, and their jobs are gone from the store since: "
                    "--run NAME, with a new name, submits them once more"
                )
            low, high = there[-1], min(there[-1] + step, high)
        return high

    @property
    def begun(self) -> str:
        """When its first row was submitted."""
        assert self._ids is not None
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self._ids.started_ms / 1000))

    def check(self, rows: Sequence[Any] | NDArray[Any]) -> list[CheckedRows]:
        """The rows as they are stored, a job each. Raises RefusedRow, UnknownModel, UnknownVersion."""
        return self._jobs.check(rows)

    def submit(self, first: int, rows: Sequence[CheckedRows]) -> int:
        """Enqueue the rows from number `first` on, as many as the model's backlog has room for; how many these were.

        They are durable then. Every row before `first` must have been accepted. Rows that were accepted already are
        not enqueued again. Raises BacklogFull when there is too little room to go on.
        """
        room = self._jobs.room(first, len(rows))
        begun = 0
        if self._ids is None:
            self._ids, begun = self._begin(rows[0]), 1
        for chunk in chunks(self._jobs.jobs(first + begun, rows[begun:room], self._ids)):
            self._intake.accept(chunk)
        return room

    def _begin(self, row: CheckedRows) -> NumberedIds:
        """Accept number 0 alone: of several processes that begin the same run, one fixes the ids for all."""
        ids = NumberedIds(self._secret, time.time_ns() // 1_000_000)
        [job] = self._jobs.jobs(0, [row], ids)
        keyed = job._replace(idempotency_key=self.request.key, payload_digest=self.request.digest)
        (first,) = self._intake.accept([keyed])
        return NumberedIds.from_first(self._secret, first)
