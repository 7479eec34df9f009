"""What the store promises about uploads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inferq_core.ids import JobId, UploadId
from inferq_core.store.records import Accepted
from inferq_core.store.upload_records import Upload, UploadCounts, UploadEnd, UploadNow, UploadStep


class Uploads(Protocol):
    """Bodies of many rows, a job each, that are accepted while they are read."""

    def is_quiet(self, started_ms: int) -> bool:
        """Whether no id of a job or upload was made in this millisecond."""

    def add_rows(self, step: UploadStep) -> Accepted:
        """Accept the rows, and count them, or do neither; the first step begins the upload. Durable.

        May be repeated. Raises UploadEnded when the upload takes no rows of this reader (it was cancelled, or another
        reader took over), or when its key or millisecond belong to another upload.
        """

    def resume_upload(self, wanted: Upload, reader: str) -> UploadNow | None:
        """The upload that has the key of `wanted`.

        From now on `reader` goes on with it, unless it is complete, cancelled, or of another model, version or method.
        """

    def hear_upload(self, upload_id: UploadId, reader: str, bytes_read: int) -> None:
        """The body is still being read: one of which nothing was heard for half a minute counts as broken off."""

    def end_upload(self, upload_id: UploadId, reader: str, end: UploadEnd) -> None:
        """Nothing more comes from this reader. Without effect once another one took over. Durable."""

    def cancel_upload(self, upload_id: UploadId) -> UploadNow:
        """No more rows are accepted; `open_rows` tells which jobs to cancel. Durable. Raises UnknownUpload."""

    def upload(self, upload_id: str) -> UploadNow:
        """Raises UnknownUpload."""

    def newest_uploads(
        self, *, model: str | None = None, owner: str | None = None, before: UploadId | None = None, limit: int = 50
    ) -> Sequence[UploadNow]:
        """The newest that match, the newest first. `before`: only those whose id is smaller."""

    def upload_counts(self, upload_id: str) -> UploadCounts:
        """Its jobs by state. Reads those that are unfinished or did not succeed, and not the others.

        Raises UnknownUpload.
        """

    def open_rows(self, upload_id: UploadId, *, before: JobId | None = None, limit: int = 500) -> Sequence[JobId]:
        """Unfinished jobs of the upload, the last ones first. `before`: only those whose id is smaller."""
