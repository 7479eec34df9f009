"""The values that go into the store and come out of it.

Times named `…_at` are seconds since 1970 (UTC) by the database's clock. JSON texts are compact and without NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from inferq_core.ids import BatchId, JobId
from inferq_core.policy.rate import RateLimit
from inferq_core.states import ErrorCode, Method, Priority, State


class Subscription(NamedTuple):
    """Who wants to be told how one job ends."""

    url: str
    host: str  # see `receivers.Receiver.place`
    states: tuple[State, ...] | None = None  # None: however it ends


class NewJob(NamedTuple):
    """A job to accept. `inputs` is the JSON text of the rows (see `inferq_core.rows`).

    Like others of which there are many a tuple: a frozen dataclass takes several times as long to make.
    """

    id: JobId
    model: str
    n_rows: int
    inputs: str
    queue: str
    priority: Priority = Priority.NORMAL
    version: str | None = None  # number or alias as the caller gave it; None: the champion
    method: Method = Method.PREDICT
    deadline: float | None = None  # seconds from acceptance
    routing_key: str | None = None
    routing_hash: int = 0
    idempotency_key: str | None = None
    payload_digest: str | None = None  # set together with idempotency_key
    metadata: str | None = None  # JSON object
    reply_to: str | None = None
    traceparent: str | None = None
    retry_of: JobId | None = None  # has no idempotency key then
    owner: str | None = None  # whose it is, see `Client.submit`
    webhook: Subscription | None = None

    @property
    def sole_key(self) -> str | None:
        """The key of which there is one job only."""
        return self.idempotency_key if self.retry_of is None else retry_key(self.retry_of)


# In front of a job's id: the key of the one job that retries it.
RETRY_PREFIX = "retry:"


def retry_key(job_id: JobId) -> str:
    return f"{RETRY_PREFIX}{job_id}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What `Jobs.accept` did. `ids[i]` answers job i: its own id, or that of the earlier job with the same key."""

    ids: Sequence[JobId]
    fresh: frozenset[JobId]  # those that were inserted now: only these need a message
    published_at: float


class ClaimedJob(NamedTuple):
    """A job in the hands of its batch."""

    id: JobId
    model: str
    n_rows: int
    inputs: str
    version: str | None
    method: Method
    routing_hash: int
    attempt: int
    created_at: float
    expired: bool  # its deadline is over: complete it as EXPIRED, do not predict it
    reply_to: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The jobs that a batch holds now, and those it may not hold because of their `group_limit`."""

    batch_id: BatchId
    claimed_at: float
    lease_until: float
    jobs: Sequence[ClaimedJob]
    refused: Sequence[PendingRef]  # still queued: publish them again in groups no larger than their limit


class PendingRef(NamedTuple):
    """A queued job without its inputs: enough to publish a message for it."""

    id: JobId
    model: str
    queue: str
    priority: Priority
    n_rows: int
    group_limit: int | None
    published_at: float
    traceparent: str | None = None  # known of a job that was just accepted only


class Outcome(NamedTuple):
    """How one job of a batch ended."""

    id: JobId
    state: State  # terminal
    outputs: str | None = None  # JSON array, one item per row
    error_code: ErrorCode | None = None
    error_message: str | None = None
    version: int | None = None
    variant: str | None = None
    batch_rows: int = 0  # rows of the predict call that served it
    predict_seconds: float | None = None  # from claim to prediction in hand


@dataclass(frozen=True, slots=True)
class BatchLog:
    """What the log row of a finished batch holds."""

    n_jobs: int
    n_rows: int
    predict_seconds: float


@dataclass(frozen=True, slots=True)
class Completed:
    """The jobs whose results `Batches.complete` wrote, and when."""

    ids: frozenset[JobId]
    completed_at: float
    n_deliveries: int = 0  # of webhooks and the event stream, that this wrote


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A terminal job, as it is polled."""

    id: JobId
    state: State
    model: str
    version: int | None
    variant: str | None
    outputs: Any  # decoded list, one item per row, or None
    error_code: ErrorCode | None
    error_message: str | None
    attempt: int
    batch_id: BatchId | None
    batch_rows: int
    worker: str | None
    created_at: float
    claimed_at: float | None
    predicted_at: float | None
    completed_at: float

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> StoredResult:
        """The result that `orjson.dumps(result)` wrote."""
        code = fields["error_code"]
        return cls(
            **{**fields, "state": State(fields["state"]), "error_code": None if code is None else ErrorCode(code)}
        )


@dataclass(frozen=True, slots=True)
class JobView:
    """One job's life, without its inputs."""

    id: JobId
    state: State
    model: str
    version: str | None
    method: Method
    priority: Priority
    queue: str
    n_rows: int
    created_at: float
    attempts: int
    metadata: Mapping[str, Any] | None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class JobNow:
    """One job at one moment; `result` once it has ended."""

    view: JobView
    result: StoredResult | None


@dataclass(frozen=True, slots=True)
class Holding:
    """The claim that holds an unfinished job now."""

    batch_id: BatchId
    worker: str
    claimed_at: float
    lease_until: float


@dataclass(frozen=True, slots=True)
class JobLife:
    """All that is known of one job, but its inputs. `feedback` is the whole history, oldest first."""

    view: JobView
    deadline_at: float | None
    idempotency_key: str | None
    routing_key: str | None
    published_at: float | None  # of the newest message; None once the job has ended
    republished: int  # times in a row that its message was lost
    holding: Holding | None
    result: StoredResult | None
    feedback: Sequence[FeedbackRecord]
    retry_of: JobId | None
    retried_as: JobId | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a list."""

    id: JobId
    state: State
    model: str
    version: int | None  # the version that answered
    priority: Priority
    queue: str
    n_rows: int
    attempts: int
    created_at: float
    completed_at: float | None
    error_code: ErrorCode | None


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, the newest first. `reached`: ask for those before it to go on; None when there are no more."""

    jobs: Sequence[JobRow]
    reached: JobId | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of the jobs of a batch that died."""

    requeued: Sequence[PendingRef]
    failed: Sequence[JobId]


class ModelSetting(StrEnum):
    """What a model may set for itself, named as in `ModelRecord`."""

    QUEUE = "queue"
    MAX_BATCH_ROWS = "max_batch_rows"
    TIME_LIMIT = "time_limit"
    LATENCY_TARGET = "latency_target"
    MAX_BACKLOG = "max_backlog"


@dataclass(frozen=True, slots=True)
class AliasChange:
    """The version that an alias stood for, and the one that it stands for now."""

    before: int | None
    after: int


class Runtime(StrEnum):
    """What computes a version's predictions."""

    SKLEARN = "sklearn"
    ONNX = "onnx"


class RuntimeChoice(StrEnum):
    """What a registration asks for."""

    AUTO = "auto"  # onnx where it answers the same and is quicker, else sklearn
    SKLEARN = "sklearn"
    ONNX = "onnx"


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model and its settings; None stands for the default of whoever reads it."""

    name: str
    queue: str | None
    max_batch_rows: int | None
    time_limit: float | None  # seconds a batch may take
    latency_target: float | None  # seconds a batch shall take; None: as many rows as it may have
    max_backlog: int | None  # rows that may be unfinished before a submit is refused; None: any number
    created_at: float


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """An immutable version of a model."""

    model: str
    number: int
    uri: str  # of the artifact, readable through fsspec
    digest: str  # SHA-256 of the artifact, hexadecimal
    format: str  # "skops", "joblib" or "pickle"
    trusted_types: Sequence[str]  # approved by an operator, for skops
    trust_pickle: bool
    sklearn_version: str
    signature: str  # JSON, see inferq_core.signature
    runtime: Runtime
    runtime_reason: str | None  # why this one; None in versions that are older than the question
    onnx_uri: str | None  # of the converted artifact, when it was converted
    onnx_digest: str | None
    created_at: float


@dataclass(frozen=True, slots=True)
class NewVersion:
    model: str
    uri: str
    digest: str
    format: str
    trusted_types: Sequence[str]
    trust_pickle: bool
    sklearn_version: str
    signature: str
    runtime: Runtime = Runtime.SKLEARN
    runtime_reason: str | None = None
    onnx_uri: str | None = None
    onnx_digest: str | None = None


class KeyScope(StrEnum):
    """What a key of the HTTP gateway may do."""

    SUBMIT = "submit"  # enqueue, and take back what it enqueued
    READ = "read"  # see the jobs of others
    FEEDBACK = "feedback"  # tell the truth about jobs that it sees
    ADMIN = "admin"  # all of it, and take back the jobs of others


@dataclass(frozen=True, slots=True)
class NewKey:
    """`models`: patterns of the models that it may ask; None for all. `limit`: of its requests; None for none."""

    id: str
    name: str
    digest: str
    scopes: Sequence[KeyScope]
    models: Sequence[str] | None
    limit: RateLimit | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    id: str
    name: str
    digest: str  # see `inferq_core.keys`
    scopes: frozenset[KeyScope]
    models: tuple[str, ...] | None
    created_at: float
    revoked_at: float | None
    limit: RateLimit | None


@dataclass(frozen=True, slots=True)
class LogEntry:
    level: str  # "info", "warning" or "error"
    event: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    version: int | None = None
    job_id: str | None = None
    batch_id: str | None = None
    worker: str | None = None
    at: float | None = None  # set by the store


@dataclass(frozen=True, slots=True)
class WorkerBeat:
    """A worker's heartbeat.

    `marks` maps (queue, priority) to the newest `published_at` received, `oldest` to the oldest one among what is
    buffered; `buffered` maps queue to rows buffered, `costs` model to (seconds per batch, seconds per row) as learned.
    """

    name: str
    host: str
    pid: int
    queues: Sequence[str]
    concurrency: int
    marks: Mapping[tuple[str, int], float]
    buffered: Mapping[str, int]
    oldest: Mapping[tuple[str, int], float] = field(default_factory=dict)
    costs: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BacklogGroup:
    """Unfinished jobs of one queue, priority and model."""

    queue: str
    priority: Priority
    model: str
    queued_jobs: int
    queued_rows: int
    running_jobs: int
    running_rows: int
    oldest_seconds: float | None  # how long the oldest queued job has waited


@dataclass(frozen=True, slots=True)
class TableStats:
    """How large a table is, its partitions and indexes included."""

    name: str
    rows: int
    exact: bool  # the rows were counted; else estimated
    bytes: int | None  # None: the database cannot tell quickly


@dataclass(frozen=True, slots=True)
class QueueBacklog:
    """Unfinished jobs of one queue."""

    queue: str
    queued_jobs: int
    queued_rows: int
    running_jobs: int
    oldest_seconds: float | None  # how long the oldest queued job has waited


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How much is in the store. `jobs`: by state; those that succeeded are estimated when `results` is."""

    dialect: str  # "sqlite" or "postgresql"
    server: str  # version of the database
    schema: str  # the newest migration it has
    store_id: str
    bytes: int  # of the whole database
    tables: Sequence[TableStats]
    jobs: Mapping[State, int]
    backlog: Sequence[QueueBacklog]


@dataclass(frozen=True, slots=True)
class BatchView:
    """The log row of a batch."""

    id: BatchId
    worker: str
    n_jobs: int
    n_rows: int
    claimed_at: float
    finished_at: float | None  # None: it runs, or its process died and nobody has noticed yet
    predict_seconds: float | None
    outcome: str | None  # completed, released, lost, expired or cancelled


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """A change of a worker's number of processes, with what it was decided on."""

    id: str
    worker: str
    from_processes: int
    to_processes: int
    reason: str  # see policy.autoscale.Reason
    inputs: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class NewScalingDecision:
    """One to be written: its time is that of the database when it is written, minus `age` seconds."""

    id: str
    worker: str
    from_processes: int
    to_processes: int
    reason: str
    inputs: Mapping[str, Any]
    age: float


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    job_id: JobId
    actual: Any
    created_at: float
