"""What a store promises. One suite, `tests/store`, holds every backend to it.

The store is the truth: a job exists when, and only when, `accept` returned. From then on it is in exactly one of
`pending` (queued or running) and `results` (terminal), and moves from the first to the second once. All methods are
safe to call from several threads and processes. Each method is one transaction (the keeper's sweeps and `cancel` may
take several short ones). Methods whose docstring says
"durable" return only after the disk (SQLite `synchronous=FULL`) or the server (`synchronous_commit=on`) has it.

A database that cannot be reached raises StoreUnavailable; nothing was done then, or (when the connection broke during
commit) the method can be called again with the same arguments: all writes are idempotent by job, batch or key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from inferq_core.ids import BatchId, JobId
from inferq_core.rollout import Rollout, RolloutEvent
from inferq_core.states import ErrorCode, State
from inferq_core.store.records import (
    Accepted,
    AliasChange,
    BacklogGroup,
    BatchLog,
    BatchView,
    Claim,
    Completed,
    FeedbackRecord,
    JobLife,
    JobNow,
    JobPage,
    JobView,
    KeyRecord,
    LogEntry,
    ModelRecord,
    ModelSetting,
    NewJob,
    NewKey,
    NewScalingDecision,
    NewVersion,
    Outcome,
    PendingRef,
    Recovered,
    ScalingDecision,
    StoredResult,
    StoreStats,
    VersionRecord,
    WorkerBeat,
)
from inferq_core.store.upload_contract import Uploads
from inferq_core.store.webhook_contract import Outbox, Webhooks


class Jobs(Protocol):
    """Accepting jobs and reading them."""

    def accept(self, jobs: Sequence[NewJob]) -> Accepted:
        """Insert all jobs or none. Durable.

        A job whose idempotency key is known with the same payload digest is not inserted again: its earlier id is
        answered. Keys are per store. The same holds for two jobs of one call. Raises IdempotencyConflict, and inserts
        nothing, when a known key has another digest.
        """

    def keyed(self, idempotency_key: str) -> JobId | None:
        """The job that has the key, or None."""

    def state(self, job_id: JobId) -> State:
        """The true state now. Raises UnknownJob. A job under a lease that ran out is still `running`."""

    def states(self, job_ids: Sequence[JobId]) -> Mapping[JobId, State]:
        """The states of those that exist."""

    def cancel(self, job_ids: Sequence[JobId]) -> Mapping[JobId, State]:
        """Take the jobs back: those that have not ended are CANCELLED, code `cancelled`. Durable.

        By job: the state in which it was found. QUEUED and RUNNING ones are cancelled now, and what the batch of a
        running one still writes for it is dropped (the fence); terminal ones stay as they are. Raises UnknownJob, and
        cancels nothing, when one of the ids was never issued.
        """

    def queued(self, job_ids: Sequence[JobId]) -> Sequence[PendingRef]:
        """Those that no batch holds now, for whoever publishes them again. The others are left out."""

    def view(self, job_id: JobId) -> JobView:
        """One job's life. Raises UnknownJob."""

    def now_of(self, job_ids: Sequence[JobId]) -> Mapping[JobId, JobNow]:
        """Those that exist as they are now, in one statement: view and result agree."""

    def life(self, job_id: JobId) -> JobLife:
        """All that is known of the job but its inputs. Raises UnknownJob."""

    def inputs(self, job_id: JobId) -> Any:
        """The job's rows, as they were accepted. Raises UnknownJob."""

    def newest(
        self,
        *,
        model: str | None = None,
        state: State | None = None,
        version: int | None = None,
        owner: str | None = None,
        since: float | None = None,
        before: JobId | None = None,
        limit: int = 50,
    ) -> JobPage:
        """The newest `limit` jobs that match, the newest first, however many jobs there are.

        `version`: the one that answered, which only jobs that have ended can have; `owner`: whose they are. `since`:
        seconds since 1970, by the clock that made the ids; `before`: only those whose id is smaller. Gives up after a
        bounded number of jobs that do not match; the page then says where.
        """

    def result(self, job_id: JobId) -> StoredResult | None:
        """The result, or None while the job is queued or running. Raises UnknownJob for an id never issued."""

    def results(self, job_ids: Sequence[JobId]) -> Mapping[JobId, StoredResult]:
        """The results of those that are terminal."""

    def replies(self, job_ids: Sequence[JobId]) -> Mapping[str, Sequence[StoredResult]]:
        """The results of those that are terminal, by the `reply_to` of whoever waits; the others are left out."""

    def copies(self, job_ids: Sequence[JobId]) -> Sequence[NewJob]:
        """The first of these jobs, as many as memory should hold and at least one, each as a new one to be accepted.

        They have new ids and point to the old ones (`retry_of`); `accept` takes one for each old job and answers others
        with its id. Raises UnknownJob, and JobUnfinished for a job that has not ended.
        """

    def retries(self, job_ids: Sequence[JobId]) -> Mapping[JobId, JobId]:
        """By job: the one that retries it, of those that were retried."""

    def counts(self) -> Mapping[tuple[str, State], int]:
        """Number of jobs by (model, state)."""

    def add_feedback(self, feedback: Sequence[tuple[JobId, Any]]) -> None:
        """Append ground truth, one value per job (a list for a job of several rows). History is kept.

        Raises UnknownJob, and appends nothing, when one of the ids was never issued.
        """

    def feedback(self, job_ids: Sequence[JobId]) -> Mapping[JobId, FeedbackRecord]:
        """The latest ground truth of each job that has some."""


class Batches(Protocol):
    """What workers do: claim, renew, complete, give back."""

    def claim(self, batch_id: BatchId, job_ids: Sequence[JobId], *, worker: str, lease: float) -> Claim:
        """Take those of the jobs that are queued; attempts + 1; lease from the database's clock.

        Jobs that are terminal, unknown or held by another batch drop out. The batch is never larger than the
        `group_limit` of any of its jobs: of the jobs that could be taken, those with the largest limits go first, as
        many as their limits allow and at least one; the others stay queued and come back in `refused`. Claims nothing
        twice: calling again with the same batch id answers what that batch holds.
        """

    def renew(self, batch_id: BatchId, *, lease: float) -> bool:
        """Move the lease to now + `lease`. False when the batch was finished or taken away."""

    def complete(self, batch_id: BatchId, outcomes: Sequence[Outcome], log: BatchLog) -> Completed:
        """Write the results of the jobs that the batch still holds, and the batch's log row. Durable.

        Says which ids were written; the others were taken away meanwhile (the fence), or had ended before they were
        claimed, and nothing is written for them.
        Jobs of the batch that `outcomes` leaves out stay held.
        """

    def release(self, batch_id: BatchId, *, max_attempts: int) -> Recovered:
        """Give the batch's jobs back to the queue without blame (shutdown, an error that is not theirs).

        Jobs with `max_attempts` claims end as FAILED, `worker_lost`; the others get `published_at` = now and are
        published by the caller, or by the keeper as orphans. A batch that is finished has none. Durable.
        """

    def recover(
        self, batch_id: BatchId, *, code: ErrorCode, message: str, max_solo_crashes: int, max_attempts: int
    ) -> Recovered:
        """Take the batch's jobs back after its process died, with blame that is not shared.

        n jobs held: each gets `group_limit = ceil(n / 2)` (never raising a smaller one); n = 1 adds a solo crash, and
        at `max_solo_crashes` the job ends as FAILED with `code`. A job with `max_attempts` claims ends likewise.
        Requeued jobs get `published_at` = now: the caller publishes them. A batch that is finished has none. Durable.
        """


class Upkeep(Protocol):
    """What the keeper does."""

    def elect(self, role: str, holder: str, *, lease: float) -> bool:
        """Take or keep the lease row of `role`: True for exactly one holder at a time."""

    def elected(self, role: str) -> str | None:
        """Who holds the lease row of `role`; None when nobody took it or it ran out."""

    def recover_expired(self, *, max_attempts: int, limit: int = 500) -> Sequence[PendingRef]:
        """Give back the jobs of at most `limit` batches whose lease ran out, without blame.

        Jobs with `max_attempts` claims end as FAILED, `worker_lost`. From the third claim on, jobs get `group_limit` =
        half of their batch, so that the one that takes its worker with it ends up alone. Requeued jobs get
        `published_at` = now.
        """

    def expire_overdue(self, *, limit: int = 500) -> int:
        """End queued jobs past their deadline as EXPIRED, `deadline_exceeded`; how many."""

    def take_orphans(
        self, *, queue: str, after: float, depth_is_zero: bool, worker_timeout: float, limit: int = 10_000
    ) -> Sequence[PendingRef]:
        """Queued jobs of `queue` that no message stands for, at most `limit`, oldest first.

        A queued job is an orphan when its `published_at` is older than the newest mark that any worker reported for
        its (queue, priority) minus `after` seconds, and older by as much than anything of it that a worker seen within
        `worker_timeout` seconds holds back; or when `depth_is_zero`, no such worker reports buffered rows for the
        queue, and it is older than `after`. Each time a job is republished its own threshold doubles (`after` · 2ⁿ, n
        at most 5). Sets `published_at` = now and n + 1 in the
        selecting statement.
        """

    def queues(self) -> Sequence[str]:
        """Names of the queues that have unfinished jobs."""

    def beat(self, beat: WorkerBeat, *, min_interval: float) -> bool:
        """Write a worker's heartbeat unless one was written less than `min_interval` seconds ago."""

    def worker_stopped(self, name: str) -> None:
        """Note that a worker ended by itself; its marks stay valid."""

    def workers(self, *, seen_within: float) -> Sequence[WorkerBeat]:
        """Workers whose heartbeat is fresh and that have not stopped."""

    def prepare_partitions(self) -> None:
        """PostgreSQL: make the partitions of the coming weeks. SQLite: nothing."""

    def purge(self, *, before: float) -> Iterator[Mapping[str, int]]:
        """Delete what ended before `before` (seconds since 1970); by table: rows deleted, after each transaction.

        Finished jobs with their results, feedback and idempotency keys; finished batches, logs, scaling decisions,
        deliveries of webhooks, workers not seen since (nor for a week). Unfinished jobs stay. An id of a purged job is
        unknown. Uploads go with the first of their jobs; the others of these stay, as jobs of no upload. Short
        transactions, which block nobody; whoever stops in the middle may go on later, and several may run at once.
        """

    def purgeable(self, *, before: float) -> Mapping[str, int]:
        """By table: rows that `purge` would delete now. Reads them all."""


class Registry(Protocol):
    """Models, versions, aliases."""

    def put_model(
        self,
        name: str,
        *,
        queue: str | None = None,
        max_batch_rows: int | None = None,
        time_limit: float | None = None,
        latency_target: float | None = None,
        max_backlog: int | None = None,
    ) -> ModelRecord:
        """Create the model or change the settings that are given (None leaves a setting as it is).

        Raises RegistrationRefused for values that no model can have.
        """

    def model(self, name: str) -> ModelRecord:
        """Raises UnknownModel, naming the models that exist."""

    def models(self) -> Sequence[ModelRecord]: ...

    def add_version(self, version: NewVersion, *, aliases: Sequence[str] = ()) -> VersionRecord:
        """Give the next number (1, 2, …, without gaps or reuse, safe under concurrency) and point `aliases` to it.

        Creates the model when it does not exist. Durable.
        """

    def version(self, model: str, reference: str | None) -> VersionRecord:
        """By number ("3"), alias, or None for `champion`. Raises UnknownModel, UnknownVersion."""

    def versions(self, model: str) -> Sequence[VersionRecord]: ...

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Move an alias. Raises UnknownModel, UnknownVersion."""

    def remove_alias(self, model: str, alias: str) -> None:
        """Raises UnknownModel, UnknownVersion, and RegistrationRefused for `champion`, which jobs rely on."""

    def aliases(self, model: str) -> Mapping[str, int]: ...


class Changes(Protocol):
    """Changes of the registry by people. A row of the log, in the same transaction, says who (`by`) changed what."""

    def point_alias(self, model: str, alias: str, reference: str, *, by: str) -> AliasChange:
        """Point an alias to a version, by number or alias. Durable.

        Raises UnknownModel, UnknownVersion, and RegistrationRefused for what cannot be an alias.
        """

    def drop_alias(self, model: str, alias: str, *, by: str) -> int:
        """Take an alias away; the version that it stood for. Durable. Raises what `Registry.remove_alias` does."""

    def change_settings(self, model: str, changes: Mapping[ModelSetting, Any], *, by: str) -> ModelRecord:
        """Set these settings of the model, None for the default. Durable.

        Raises UnknownModel, and RegistrationRefused for values that no model can have.
        """


class Rollouts(Protocol):
    """How models' traffic is split. As with `Changes`, a row of the log says who changed what."""

    def rollout(self, model: str) -> Rollout | None:
        """None while the champion answers alone."""

    def put_rollout(self, model: str, canary: str, weight: int, *, primary: str | None = None, by: str) -> Rollout:
        """Give `weight` of 1000 parts of what names no version to the canary, the others to the primary. Durable.

        Both by number or alias. Without `primary` it stays what it is, at first the champion. Raises UnknownModel,
        UnknownVersion, and RegistrationRefused for versions that take different rows.
        """

    def end_rollout(self, model: str, *, by: str) -> Rollout:
        """The champion answers alone from now on. What there was. Durable. Raises UnknownModel, UnknownRollout."""

    def rollout_events(self, model: str, *, limit: int = 50) -> Sequence[RolloutEvent]:
        """The newest changes of the model's rollouts, the newest first."""


class Keys(Protocol):
    """Keys of the HTTP gateway."""

    def add_key(self, key: NewKey) -> KeyRecord:
        """Durable."""

    def key(self, key_id: str) -> KeyRecord | None: ...

    def all_keys(self) -> Sequence[KeyRecord]:
        """All that were ever made, the oldest first."""

    def has_keys(self) -> bool:
        """Whether any was ever made, revoked ones included."""

    def revoke_key(self, key_id: str) -> KeyRecord:
        """The key is good for nothing from now on; once revoked it stays so. Durable. Raises UnknownKey."""


class Logs(Protocol):
    """What people read later."""

    def append(self, entries: Sequence[LogEntry]) -> None: ...

    def read(
        self,
        *,
        job_id: str | None = None,
        model: str | None = None,
        level: str | None = None,
        after: int = 0,
        limit: int = 200,
    ) -> Iterator[tuple[int, LogEntry]]:
        """The newest `limit` entries that match, oldest first, each with its number; `after` skips numbers up to it."""

    def read_on(self, *, after: int, limit: int = 1000) -> Sequence[tuple[int, LogEntry]]:
        """The oldest `limit` entries with a number above `after`, oldest first.

        Numbers are given before entries are visible: one may appear shortly after others with larger numbers.
        """

    def record_scaling(self, decisions: Sequence[NewScalingDecision]) -> None:
        """Write the decisions that are not there yet: several processes of a worker may write the same ones."""

    def scaling_decisions(self, *, worker: str | None = None, limit: int = 200) -> Sequence[ScalingDecision]:
        """The newest `limit` decisions (of one worker), oldest first."""


class Load(Protocol):
    """How much waits, and what the last batches did. For people to look at: no inputs, no outputs."""

    def backlog(self, *, limit: int = 500) -> Sequence[BacklogGroup]:
        """Unfinished jobs by (queue, priority, model), in that order, at most `limit` groups.

        Reads all of `pending` once.
        """

    def recent_batches(self, *, limit: int) -> Sequence[BatchView]:
        """The `limit` batches that were made last, the newest first."""

    def stats(self) -> StoreStats:
        """How much is in the store. Quick however much that is: large tables are estimated, see `TableStats`."""

    def busy(self) -> Mapping[str, int]:
        """By worker: the batches it holds under a live lease. Each keeps one of its processes busy."""


class Store(Jobs, Batches, Upkeep, Registry, Changes, Rollouts, Keys, Webhooks, Outbox, Uploads, Logs, Load, Protocol):
    """The whole store. Open one with `inferq_core.store.open_store(settings)`."""

    def now(self) -> float:
        """Seconds since 1970 by the database's clock."""

    @property
    def concurrent_writers(self) -> int:
        """Transactions of one process that are worth having under way side by side."""

    @property
    def store_id(self) -> str:
        """Made with the schema, carried by every message. Raises SchemaOutdated before `inferq db upgrade`."""

    def close(self) -> None: ...
