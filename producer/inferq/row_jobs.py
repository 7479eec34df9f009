"""The rows of one source as jobs, one each, with ids that their numbers tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from inferq.admission import Admission
from inferq.catalog import Catalog, Target
from inferq.options import SubmitOptions
from inferq_core.errors import InvalidInput
from inferq_core.ids import MAX_NUMBERED, JobId, NumberedIds, routing_hash
from inferq_core.policy.admission import Request
from inferq_core.settings import Settings
from inferq_core.signature import CheckedRows, Signature
from inferq_core.store.records import NewJob


class RefusedRow(InvalidInput):
    """One of many rows does not fit the model; `index` says which."""

    def __init__(self, index: int, error: InvalidInput) -> None:
        super().__init__(str(error), place=error.place, expected=error.expected, got=error.got)
        self.index = index


class RowJobs:
    """For one model and one set of options."""

    def __init__(
        self, catalog: Catalog, admission: Admission, settings: Settings, model: str, options: SubmitOptions
    ) -> None:
        self._catalog = catalog
        self._admission = admission
        self._max_rows = settings.max_rows_per_job
        self._max_bytes = settings.max_job_bytes
        self._model = model
        self._options = options

    @property
    def signature(self) -> Signature:
        """What the rows must fit now. Raises UnknownModel, UnknownVersion, and InvalidInput for the method."""
        return self._target().signature

    def check(self, rows: Sequence[Any] | NDArray[Any]) -> list[CheckedRows]:
        """The rows as they are stored, a job each. Raises RefusedRow, UnknownModel, UnknownVersion."""
        signature = self.signature
        together = signature.check_each(rows)
        checked = []
        for index, row in enumerate(rows):
            try:
                one = signature.check(row, max_rows=self._max_rows) if together is None else together[index]
                checked.append(one.within(self._max_bytes))
            except InvalidInput as error:
                raise RefusedRow(index, error) from error
        return checked

    def room(self, first: int, rows: int) -> int:
        """How many of the rows from number `first` on there is room for. Raises BacklogFull when it is too little."""
        if first + rows > MAX_NUMBERED:
            raise InvalidInput(f"there may be {MAX_NUMBERED:,} rows at the most")
        target = self._target()
        return self._admission.room(
            Request(target.queue, self._options.priority, target.model, rows, target.max_backlog)
        )

    def jobs(self, first: int, rows: Sequence[CheckedRows], ids: NumberedIds) -> Iterator[NewJob]:
        """The jobs of the rows from number `first` on."""
        target = self._target()
        for number, row in enumerate(rows, start=first):
            yield self._job(ids.at(number), row, target)

    def _job(self, job_id: JobId, row: CheckedRows, target: Target) -> NewJob:
        options = self._options
        return NewJob(
            id=job_id,
            model=target.model,
            n_rows=row.n_rows,
            inputs=row.json,
            queue=target.queue,
            priority=options.priority,
            version=options.version,
            method=options.method,
            deadline=options.deadline,
            routing_hash=routing_hash(job_id),
            traceparent=options.traceparent,
            owner=options.owner,
        )

    def _target(self) -> Target:
        return self._catalog.target(self._model, self._options.version, self._options.method)
