"""Rows of one body, enqueued as they come."""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from inferq.bulk import chunks
from inferq.intake import Intake
from inferq.row_jobs import RowJobs
from inferq_core.errors import BacklogFull, IdempotencyConflict, InvalidInput, StoreUnavailable, UploadEnded
from inferq_core.signature import CheckedRows
from inferq_core.store.records import NewJob
from inferq_core.store.upload_contract import Uploads
from inferq_core.store.upload_records import Upload, UploadEnd, UploadNow, UploadState, UploadStep

# Seconds between two looks for room in a full backlog: at least, and at most.
POLL_FIRST, POLL_LAST = 0.005, 0.2
# Seconds between two words that the body is still being read, see `Uploads.hear_upload`.
WORD_SECONDS = 5.0
# Milliseconds ago that ids of an upload say they were made: long enough that nobody makes one there any more, by clocks
# that agree to a second, and so many that one of them is free.
QUIET_FROM, QUIET_TO = 1_000, 10_000
QUIET_TRIES = 20


class Uploader:
    """For one body, and one thread. `patience`: seconds to wait for room in the backlog.

    An upload that has the same key is gone on with, as it was begun: its rows must come again, from the first on, and
    those that were accepted are not enqueued again. Raises IdempotencyConflict when the key stands for something else.
    """

    def __init__(
        self, store: Uploads, intake: Intake, jobs_of: Callable[[Upload], RowJobs], upload: Upload, patience: float
    ) -> None:
        self.reader = uuid.uuid4().hex
        self._store = store
        self._intake = intake
        self._patience = patience
        self._digest = hashlib.sha256()
        self._passed = 0  # rows that came, those that were accepted before included
        self._heard_at = time.monotonic()
        self._earlier = None if upload.idempotency_key is None else store.resume_upload(upload, self.reader)
        self.upload = upload if self._earlier is None else self._earlier.upload
        self.accepted = 0 if self._earlier is None else self._earlier.accepted
        if _asked(self.upload) != _asked(upload):
            raise _conflict()
        self.jobs = jobs_of(self.upload)

    def put(self, rows: Sequence[CheckedRows], bytes_read: int, heed: Callable[[], None]) -> None:
        """The next rows; all are durable on return. `heed` is called while there is no room for them.

        Raises BacklogFull when there was none for too long, and UploadEnded when the upload takes no more.
        """
        known = min(max(self.accepted - self._passed, 0), len(rows))
        for row in rows[:known]:
            self._digest.update(row.json.encode())
        self._passed += known
        left = rows[known:]
        if left:
            self._require_open()
        while left:
            room = self._room(len(left), heed)
            self._add(left[:room], bytes_read)
            left = left[room:]

    def finish(self, bytes_read: int) -> UploadNow:
        """No more rows come. Raises InvalidInput when there were none."""
        if not self._passed and not self.accepted:
            raise InvalidInput("the body has no rows")
        self._require_same()
        self.end(UploadState.COMPLETE, None, bytes_read)
        return self._store.upload(self.upload.id)

    def end(self, state: UploadState, reason: str | None, bytes_read: int) -> None:
        """Nothing more comes, because of `reason`."""
        if self.accepted:
            self._store.end_upload(self.upload.id, self.reader, UploadEnd(state, reason, bytes_read))

    def hear(self, bytes_read: int) -> None:
        """Say so now and then that the body is still being read."""
        if self.accepted and time.monotonic() - self._heard_at >= WORD_SECONDS:
            self._store.hear_upload(self.upload.id, self.reader, bytes_read)
            self._heard_at = time.monotonic()

    def _require_open(self) -> None:
        if self._earlier is None or self._passed > self._earlier.accepted:
            return
        self._require_same()
        if self._earlier.state is UploadState.COMPLETE:
            raise _conflict()
        if self._earlier.state is UploadState.CANCELLED:
            raise UploadEnded("it was cancelled")

    def _require_same(self) -> None:
        """Raises IdempotencyConflict when these are other rows than were accepted before."""
        if self._earlier is None or self._passed > self._earlier.accepted:
            return
        if self._passed < self._earlier.accepted or self._digest.hexdigest() != self._earlier.rows_digest:
            raise _conflict()

    def _room(self, rows: int, heed: Callable[[], None]) -> int:
        until = time.monotonic() + self._patience
        while True:
            try:
                return self.jobs.room(self.accepted, rows)
            except BacklogFull as full:
                if full.never_fits or time.monotonic() >= until:
                    raise
                heed()
                time.sleep(min(max(full.retry_after or POLL_LAST, POLL_FIRST), POLL_LAST))

    def _add(self, rows: Sequence[CheckedRows], bytes_read: int) -> None:
        if not self.accepted:
            self.upload = replace(self.upload, started_ms=_quiet_ms(self._store))
        for chunk in chunks(self.jobs.jobs(self.accepted, rows, self.upload.ids)):
            for job in chunk:
                self._digest.update(job.inputs.encode())
            step = UploadStep(
                self.upload, self.reader, self.accepted, chunk, self._digest.copy().hexdigest(), bytes_read
            )
            self._take(step, chunk)

    def _take(self, step: UploadStep, jobs: Sequence[NewJob]) -> None:
        self._intake.accept(jobs, lambda _: self._store.add_rows(step))
        self.accepted += len(jobs)
        self._passed += len(jobs)
        self._heard_at = time.monotonic()


def _asked(upload: Upload) -> tuple[object, ...]:
    """What decides the answers, besides the rows."""
    return upload.model, upload.version, upload.method


def _conflict() -> IdempotencyConflict:
    return IdempotencyConflict("the key stands for other rows, or another model, version or method: use a new key")


def _quiet_ms(store: Uploads) -> int:
    for _ in range(QUIET_TRIES):
        started_ms = time.time_ns() // 1_000_000 - random.randrange(QUIET_FROM, QUIET_TO)  # noqa: S311 - no secret
        if store.is_quiet(started_ms):
            return started_ms
    raise StoreUnavailable("every millisecond of late has ids: try again")
