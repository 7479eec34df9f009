"""The jobs of a batch: counted, cancelled, read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from starlette.requests import ClientDisconnect

from inferq.aio import AsyncClient
from inferq.gateway.access import Ask
from inferq.gateway.documents import moment
from inferq_core.errors import InferqError, UnknownJob
from inferq_core.ids import JobId, UploadId
from inferq_core.logging import get_logger
from inferq_core.states import State
from inferq_core.store.contract import Store
from inferq_core.store.records import StoredResult
from inferq_core.store.upload_records import Upload, UploadCounts, UploadNow, UploadState

log = get_logger(__name__)

# A count is believed for this many times of what it took, so that counting takes no more than a fifth of the time.
TIMES_ITS_PRICE = 4
# Batches whose counts are kept.
MAX_KEPT = 1_000
# Rows that one look at the results reads, and that are cancelled together.
LOOK_ROWS = 1_000
# Seconds for which a request waits until the rows of its batch are cancelled; they are in any case.
CANCEL_SECONDS = 10.0


class BatchJobs:
    """One for each event loop."""

    def __init__(self, ask: Ask, client: AsyncClient) -> None:
        self._ask = ask
        self._client = client
        self._counted: dict[UploadId, tuple[float, UploadCounts]] = {}
        self._counting: dict[UploadId, asyncio.Task[UploadCounts]] = {}
        self._cancelling: dict[UploadId, asyncio.Task[None]] = {}

    async def close(self) -> None:
        for task in [*self._cancelling.values(), *self._counting.values()]:
            task.cancel()
            with suppress(asyncio.CancelledError, InferqError):
                await task

    async def counts(self, now: UploadNow) -> UploadCounts:
        """Where its rows are, now or a moment ago; concurrent calls share a look."""
        upload_id = now.upload.id
        known = self._counted.get(upload_id)
        if known is not None and time.monotonic() < known[0] and _agree(now, known[1]):
            return known[1]
        counts: UploadCounts = await asyncio.shield(self._once(self._counting, upload_id, self._count))
        if not _agree(now, counts):  # that look had begun before
            counts = await asyncio.shield(self._once(self._counting, upload_id, self._count))
        return counts

    async def cancel(self, now: UploadNow) -> None:
        """Take back what has not ended, the last rows first: those are farthest from being run.

        Returns after CANCEL_SECONDS at the latest, and goes on then. A batch whose rows have all ended stays as it is.
        Raises StoreError.
        """
        upload_id = now.upload.id
        is_open = now.state is UploadState.READING
        if not is_open and not await self._ask(lambda store: store.open_rows(upload_id, limit=1)):
            return
        await self._ask(lambda store: store.cancel_upload(upload_id))
        task = self._once(self._cancelling, upload_id, self._cancel)
        await asyncio.wait({task}, timeout=CANCEL_SECONDS)
        self._forget(upload_id)
        if task.done():
            task.result()  # raises what stopped it

    async def lines(self, now: UploadNow, first: int, must_end: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Its accepted rows from number `first` on, in order: a line of JSON each, as they are when it is written."""
        for start in range(first, now.accepted, LOOK_ROWS):
            if must_end():
                raise ClientDisconnect  # the connection breaks, so that nobody takes this for all
            numbers = range(start, min(start + LOOK_ROWS, now.accepted))
            yield await self._ask(partial(_lines, upload=now.upload, numbers=numbers))

    def _once(self, tasks: dict[UploadId, Any], upload_id: UploadId, work: Callable[[UploadId], Any]) -> Any:
        """The task that does this for the upload, which may be under way."""
        if upload_id not in tasks:
            tasks[upload_id] = asyncio.ensure_future(work(upload_id))
            tasks[upload_id].add_done_callback(partial(_drop, tasks, upload_id))
        return tasks[upload_id]

    def _forget(self, upload_id: UploadId) -> None:
        """What is known of its rows, and what a look that is under way will find."""
        self._counted.pop(upload_id, None)
        self._counting.pop(upload_id, None)

    async def _count(self, upload_id: UploadId) -> UploadCounts:
        started = time.monotonic()
        counts = await self._ask(lambda store: store.upload_counts(upload_id))
        if self._counting.get(upload_id) is asyncio.current_task():
            if len(self._counted) >= MAX_KEPT:
                self._counted.clear()
            ended = time.monotonic()
            self._counted[upload_id] = ended + TIMES_ITS_PRICE * (ended - started), counts
        return counts

    async def _cancel(self, upload_id: UploadId) -> None:
        before: JobId | None = None
        while found := await self._ask(partial(_open_rows, upload_id=upload_id, before=before)):
            with suppress(UnknownJob):  # purged meanwhile
                await self._client.cancel_many(found)
            before = found[-1]


def _agree(now: UploadNow, counts: UploadCounts) -> bool:
    """Once its body was read, the number of rows stays."""
    return now.state is UploadState.READING or counts.accepted == now.accepted


def _drop(tasks: dict[UploadId, Any], upload_id: UploadId, task: asyncio.Future[Any]) -> None:
    if tasks.get(upload_id) is task:
        del tasks[upload_id]
    error = None if task.cancelled() else task.exception()
    if error is not None:  # nobody may be there any more to raise it
        log.warning("batch_task_failed", upload=upload_id, reason=str(error))


def _open_rows(store: Store, *, upload_id: UploadId, before: JobId | None) -> Sequence[JobId]:
    return store.open_rows(upload_id, before=before, limit=LOOK_ROWS)


def _lines(store: Store, *, upload: Upload, numbers: range) -> bytes:
    ids = [upload.ids.at(number) for number in numbers]
    found: dict[JobId, StoredResult | State] = {**store.results(ids)}
    states = store.states([job_id for job_id in ids if job_id not in found])
    found.update(states)
    found.update(store.results([job_id for job_id, state in states.items() if state.terminal]))  # ended since
    lines = [
        _line(number, job_id, found[job_id]) for number, job_id in zip(numbers, ids, strict=True) if job_id in found
    ]
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


def _line(row: int, job_id: JobId, found: StoredResult | State) -> dict[str, Any]:
    line: dict[str, Any] = {"row": row, "id": job_id}
    if isinstance(found, State):
        return line | {"state": found, "outputs": None, "error": None, "version": None, "completed_at": None}
    error = None
    if found.state is not State.SUCCEEDED:
        error = {"code": found.error_code or "model_error", "message": found.error_message}
    return line | {
        "state": found.state,
        "outputs": found.outputs,
        "error": error,
        "version": found.version,
        "completed_at": moment(found.completed_at),
    }
