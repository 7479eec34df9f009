"""Bodies of many rows, while they are read: where bytes, rows and what goes wrong with them meet."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request

from inferq.admission import Admission
from inferq.catalog import Catalog
from inferq.gateway import bodies
from inferq.gateway.body_stream import BUFFER_BYTES, Body
from inferq.gateway.problems import Fault, Kind, Problem, of_error, unavailable
from inferq.gateway.uploader import Uploader
from inferq.intake import Intake
from inferq.options import SubmitOptions
from inferq.row_jobs import RefusedRow, RowJobs
from inferq.sources.bytes import FileSource
from inferq.sources.csv_rows import CsvReader
from inferq.sources.parquet_rows import ParquetReader
from inferq.sources.rows import Block, JsonLinesReader, RowReader, UnreadableRow
from inferq_core.broker import Publisher
from inferq_core.errors import InferqError, StoreError, UploadEnded
from inferq_core.ids import new_upload_id
from inferq_core.logging import get_logger
from inferq_core.settings import Settings
from inferq_core.store.contract import Store
from inferq_core.store.upload_records import Upload, UploadNow, UploadState

log = get_logger(__name__)

# Bodies that one gateway reads at a time: each takes a thread and some 10 MB.
MAX_READINGS = 4
GONE = "the connection ended before the body did"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body is sent for."""

    model: str
    options: SubmitOptions
    format: str
    bytes_total: int | None

    def upload(self) -> Upload:
        """A new one, but for the time of its ids."""
        options = self.options
        return Upload(
            id=new_upload_id(),
            owner=options.owner,
            idempotency_key=options.idempotency_key,
            model=self.model,
            version=options.version,
            method=options.method,
            priority=options.priority,
            deadline=options.deadline,
            metadata=options.metadata,
            format=self.format,
            secret=secrets.token_bytes(32),
            started_ms=0,
            bytes_total=self.bytes_total,
        )


class Readings:
    """The bodies that are being read, each in a thread. Made on the event loop."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._catalog = Catalog(store, settings)
        self._admission = Admission(store, settings, self._catalog.max_backlog)
        self._publisher = Publisher(settings.broker)
        self._intake = Intake(store, self._publisher, self._catalog.limits, self._admission.count)
        self._threads = ThreadPoolExecutor(MAX_READINGS, thread_name_prefix="inferq-upload")
        self._open: set[Body] = set()
        self._ended = False

    async def read(self, request: Request, asked: Asked) -> UploadNow:
        """Enqueue the rows of the request's body. Raises Problem, which tells what was accepted all the same."""
        if self._ended or len(self._open) >= MAX_READINGS:
            raise unavailable(f"at most {MAX_READINGS} bodies are read at a time, and none while it stops: try again")
        body = Body(max_row_bytes=2 * self._settings.max_job_bytes)
        self._open.add(body)
        try:
            async with _fed(request, body, self._settings.max_batch_body_bytes):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, asked, body)
        finally:
            self._open.discard(body)

    def end(self) -> None:
        """Read no more: the gateway is about to stop."""
        self._ended = True
        for body in self._open:
            body.end(unavailable("the gateway stops: send the same again, to another"), at_once=True)

    def close(self) -> None:
        self._threads.shutdown()
        self._publisher.close()

    def _work(self, asked: Asked, body: Body) -> UploadNow:
        def jobs_of(upload: Upload) -> RowJobs:
            options = asked.options._replace(priority=upload.priority, deadline=upload.deadline)
            return RowJobs(self._catalog, self._admission, self._settings, asked.model, options)

        upload = asked.upload()
        try:
            signature = jobs_of(upload).signature
            uploader = Uploader(self._store, self._intake, jobs_of, upload, self._settings.max_wait)
        except InferqError as error:
            raise of_error(error) from error
        body.between = lambda: uploader.hear(body.received)
        try:
            with _reader(asked.format, body, signature) as reader:
                for block in reader.blocks():
                    _put(uploader, reader, block, body)
            return uploader.finish(body.received)
        except Exception as error:
            told = _broken_off(uploader, error, body.received)
            if told is error:
                raise
            raise told from error


def _put(uploader: Uploader, reader: RowReader[Any], block: Block, body: Body) -> None:
    """Rows before one that does not fit are enqueued all the same. Raises UnreadableRow for that one."""
    try:
        checked, refused = uploader.jobs.check(block.rows), None
    except RefusedRow as error:
        checked, refused = uploader.jobs.check(block.rows[: error.index]), error
    uploader.put(checked, body.received, body.heed)
    if refused is not None:
        raise reader.refused(block.places[refused.index], refused) from refused


@contextmanager
def _reader(form: str, body: Body, signature: Any) -> Iterator[RowReader[Any]]:
    """What reads the body; Parquet begins at its end, so that one is written to a file that has no name."""
    if form != ParquetReader.format:
        yield (CsvReader if form == CsvReader.format else JsonLinesReader)(body, signature)
        return
    with tempfile.TemporaryFile(prefix="inferq-") as file, body.open() as raw:
        try:
            while piece := raw.read(BUFFER_BYTES):
                body.read += len(piece)
                file.write(piece)
            file.flush()
        except OSError as error:
            raise unavailable(f"the gateway cannot keep the body while it is read: {error.strerror}") from error
        yield ParquetReader(FileSource(Path(f"/dev/fd/{file.fileno()}"), body.name), signature)


def _broken_off(uploader: Uploader, error: Exception, received: int) -> Exception:
    """What the caller is told; the upload says the same, unless it is somebody else's by now."""
    told = _told(error)
    reason = told.detail if isinstance(told, Problem) else GONE
    if not isinstance(error, UploadEnded):
        try:
            uploader.end(UploadState.INCOMPLETE, reason, received)
        except StoreError as away:  # it counts as broken off when nothing was heard of it for a while
            log.warning("upload_not_ended", upload=uploader.upload.id, reason=str(away))
    if uploader.accepted:
        log.warning("upload_incomplete", upload=uploader.upload.id, accepted=uploader.accepted, reason=reason)
        if isinstance(told, Problem):
            told.extra = {**told.extra, "batch": uploader.upload.id, "accepted": uploader.accepted}
    return told


def _told(error: Exception) -> Exception:
    if isinstance(error, Problem | ClientDisconnect):
        return error
    if isinstance(error, UnreadableRow):
        return Problem(Kind.INVALID_INPUT, str(error), [_fault(error)])
    if isinstance(error, InferqError):
        return of_error(error)
    log.error("upload_failed", exc_info=error)
    return Problem(Kind.INTERNAL, "the gateway's log says more, under this request_id")


def _fault(error: UnreadableRow) -> Fault:
    column = None if error.column is None else str(error.column)
    line, row = (error.at, None) if error.counted == "line" else (None, error.at)
    return Fault(str(error), line=line, row=row, column=column, expected=error.expected, got=error.got)


@asynccontextmanager
async def _fed(request: Request, body: Body, max_bytes: int) -> AsyncIterator[None]:
    feeding = asyncio.create_task(_feed(request, body, max_bytes))
    try:
        yield
    finally:
        body.end(ClientDisconnect(), at_once=True)  # where this is torn down, the thread ends as well
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding


async def _feed(request: Request, body: Body, max_bytes: int) -> None:
    """Hand on what arrives. A body may take any time, as long as something of it comes."""
    try:
        while True:
            async with asyncio.timeout(bodies.BODY_SECONDS):
                message = await request.receive()
            if message["type"] == "http.disconnect":
                return body.end(ClientDisconnect())
            piece = message.get("body", b"")
            if body.received + len(piece) > max_bytes:
                return body.end(bodies.too_large(max_bytes, "INFERQ_MAX_BATCH_BODY_BYTES"))
            await body.put(piece)
            if not message.get("more_body", False):
                request.state.is_read = True
                return body.end()
    except TimeoutError:
        detail = f"nothing of the body came for {bodies.BODY_SECONDS:g} s, after {body.received} bytes"
        body.end(Problem(Kind.BODY_TIMEOUT, detail))
