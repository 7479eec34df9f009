"""A job as its callers hold it, and what came out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from inferq_core.errors import JobFailed, UnknownJob, WaitTimeout
from inferq_core.spelling import BatchId, JobId, parse_job_id
from inferq_core.states import ErrorCode, State

if TYPE_CHECKING:
    from inferq_core.store.records import StoredResult


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds, by the database's clock. None for a stage that the job never reached."""

    queued: float | None  # from accepted to claimed, by the attempt that ended it
    predicted: float | None  # from claimed to predicted
    total: float  # from accepted to stored


@dataclass(frozen=True, slots=True)
class Result:
    """How a job ended. `outputs` has one item per row, and is None unless `state` is SUCCEEDED."""

    id: JobId
    state: State
    outputs: list[Any] | None
    model: str
    version: int | None  # the version that answered
    variant: str | None
    attempt: int  # the claim that ended it, counted from 1; 0 when no batch ever held it
    batch_id: BatchId | None
    batch_rows: int  # rows of the predict call that served it
    timings: Timings
    error_code: ErrorCode | None = None
    error_message: str | None = None

    def raise_for_state(self) -> Result:
        """This result. Raises JobFailed unless the job succeeded."""
        if self.state is State.SUCCEEDED:
            return self
        code = self.error_code or ErrorCode.MODEL_ERROR
        raise JobFailed(self.id, code, self.error_message or f"the job is {self.state}")


class Handle:
    """What stands for one job; equal to any other handle with the same id."""

    __slots__ = ("id",)

    def __init__(self, job_id: JobId) -> None:
        self.id = job_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"


class Asked(Protocol):
    """Whom a job asks: a client of either kind."""

    def state(self, job_id: str, /) -> State: ...

    def result(self, job_id: str, /, timeout: float | None) -> Result: ...

    def eta(self, job_id: str, /) -> float | None: ...

    def cancel(self, job_id: str, /) -> bool: ...


class AsyncAsked(Protocol):
    """The same to be awaited."""

    async def state(self, job_id: str, /) -> State: ...

    async def result(self, job_id: str, /, timeout: float | None) -> Result: ...  # noqa: ASYNC109  # as in Client

    async def eta(self, job_id: str, /) -> float | None: ...

    async def cancel(self, job_id: str, /) -> bool: ...


class Job(Handle):
    """A handle to one job; cheap and safe for threads."""

    __slots__ = ("_client", "_result")

    def __init__(self, client: Asked, job_id: JobId, result: Result | None = None) -> None:
        super().__init__(job_id)
        self._client = client
        self._result = result

    def state(self) -> State:
        """The true state now. Raises UnknownJob for an id that was never issued."""
        if self._result is not None:
            return self._result.state
        return self._client.state(self.id)

    def result(self, timeout: float | None = None) -> Result:
        """Wait at most `timeout` seconds (None: without end) for the result of a job that succeeded.

        Raises JobFailed when it ended otherwise, WaitTimeout when it did not end in time, UnknownJob for an id that was
        never issued.
        """
        if self._result is None:
            self._result = self._client.result(self.id, timeout=timeout)
        return self._result.raise_for_state()

    def eta(self) -> float | None:
        """Seconds until it is expected to end: see `Client.eta`. Raises UnknownJob for an id never issued."""
        return 0.0 if self._result is not None else self._client.eta(self.id)

    def cancel(self) -> bool:
        """Take the job back. True when it is cancelled now; False when it had ended before. See `Client.cancel`.

        Raises UnknownJob for an id that was never issued.
        """
        return self._client.cancel(self.id)


class AsyncJob(Handle):
    """A handle to one job; cheap, and equal to any other handle with the same id."""

    __slots__ = ("_client", "_result")

    def __init__(self, client: AsyncAsked, job_id: JobId, result: Result | None = None) -> None:
        super().__init__(job_id)
        self._client = client
        self._result = result

    async def state(self) -> State:
        """The true state now. Raises UnknownJob for an id that was never issued."""
        if self._result is not None:
            return self._result.state
        return await self._client.state(self.id)

    async def result(self, timeout: float | None = None) -> Result:  # noqa: ASYNC109  # as in Client
        """Wait at most `timeout` seconds (None: without end) for the result of a job that succeeded.

        Raises JobFailed when it ended otherwise, WaitTimeout when it did not end in time, UnknownJob for an id that was
        never issued. Cancelling it leaves the job alone.
        """
        if self._result is None:
            self._result = await self._client.result(self.id, timeout=timeout)
        return self._result.raise_for_state()

    async def eta(self) -> float | None:
        """Seconds until it is expected to end: see `Client.eta`. Raises UnknownJob for an id never issued."""
        return 0.0 if self._result is not None else await self._client.eta(self.id)

    async def cancel(self) -> bool:
        """Take the job back. True when it is cancelled now; False when it had ended before. See `Client.cancel`.

        Raises UnknownJob for an id that was never issued.
        """
        return await self._client.cancel(self.id)


def id_of(job: Handle | str) -> JobId:
    """The id as the store spells it. Raises UnknownJob for what is no id at all."""
    job_id = job.id if isinstance(job, Handle) else job
    known = parse_job_id(job_id)
    if known is None:
        raise UnknownJob(f"{job_id!r} is not the id of a job: ids are UUIDs, as submit returned them")
    return known


def result_of(stored: StoredResult) -> Result:
    claimed, predicted = stored.claimed_at, stored.predicted_at
    return Result(
        id=stored.id,
        state=stored.state,
        outputs=stored.outputs,
        model=stored.model,
        version=stored.version,
        variant=stored.variant,
        attempt=stored.attempt,
        batch_id=stored.batch_id,
        batch_rows=stored.batch_rows,
        timings=Timings(
            queued=None if claimed is None else claimed - stored.created_at,
            predicted=None if claimed is None or predicted is None else predicted - claimed,
            total=stored.completed_at - stored.created_at,
        ),
        error_code=stored.error_code,
        error_message=stored.error_message,
    )


def still_unfinished(job_id: JobId, state: State, waited: float | None) -> WaitTimeout:
    after = f" after {waited:g} s" if waited else ""
    return WaitTimeout(f"job {job_id} is still {state}{after}; it goes on, ask again later")


def some_unfinished(left: int, total: int, timeout: float | None) -> WaitTimeout:
    return WaitTimeout(f"{left} of {total} jobs have not ended after {timeout or 0:g} s; they go on")
