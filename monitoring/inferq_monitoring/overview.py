"""What goes on right now: what waits, what runs, who works, how large the batches are. Read from store and broker."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inferq_core.errors import BrokerUnavailable, StoreError
from inferq_core.store.contract import Store
from inferq_core.store.records import BacklogGroup, BatchView, WorkerBeat

# Batches that the distribution of sizes looks at.
SIZED_BATCHES = 1000
# Upper ends of its classes, in rows; the last class is open. 512 is the usual limit of a batch.
SIZE_BOUNDS = (1, 4, 16, 64, 512)
# Seconds after which a silent worker is left out; it reports itself every 2 s.
WORKER_SEEN_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class QueueDepth:
    queue: str
    messages: int | None  # in the broker, all priorities; None: it does not answer
    buffered_rows: int  # fetched by workers, not yet in a batch
    queued_jobs: int
    running_jobs: int
    workers: int


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    name: str
    queues: Sequence[str]
    processes: int
    busy: int
    buffered_rows: int

    @property
    def share(self) -> float:
        """Busy processes, of all."""
        return min(self.busy / self.processes, 1.0) if self.processes else 0.0


@dataclass(frozen=True, slots=True)
class SizeClass:
    label: str  # of rows
    batches: int
    share: float  # of all batches that were looked at


@dataclass(frozen=True, slots=True)
class Overview:
    """`problems` says in words what could not be read; everything else is then as far as it was read."""

    groups: Sequence[BacklogGroup] = ()
    depths: Sequence[QueueDepth] = ()
    workers: Sequence[WorkerLoad] = ()
    sizes: Sequence[SizeClass] = ()
    batches: Sequence[BatchView] = ()  # the newest first
    problems: Sequence[str] = ()

    @property
    def queued_jobs(self) -> int:
        return sum(group.queued_jobs for group in self.groups)

    @property
    def running_jobs(self) -> int:
        return sum(group.running_jobs for group in self.groups)

    @property
    def processes(self) -> int:
        return sum(worker.processes for worker in self.workers)

    @property
    def busy(self) -> int:
        return sum(worker.busy for worker in self.workers)

    @property
    def sized_batches(self) -> int:
        return sum(size.batches for size in self.sizes)

    @property
    def mean_rows(self) -> float | None:
        """Rows per finished batch."""
        finished = completed(self.batches)
        return sum(batch.n_rows for batch in finished) / len(finished) if finished else None


def read_overview(store: Store, depth: Callable[[str], int], queues: Sequence[str]) -> Overview:
    """The overview now. `depth` counts a queue's messages; `queues` are shown even when nothing uses them.

    Raises nothing when store or broker are away: the overview says so.
    """
    try:
        groups = store.backlog()
        batches = store.recent_batches(limit=SIZED_BATCHES)
        beats = store.workers(seen_within=WORKER_SEEN_WITHIN)
        busy = store.busy()
    except StoreError as error:
        return Overview(problems=[f"The store does not answer: {error}"])
    used = {*queues, *(group.queue for group in groups), *(name for beat in beats for name in beat.queues)}
    messages, problems = _messages(sorted(used), depth)
    return Overview(
        groups=groups,
        depths=[_queue_depth(name, count, groups, beats) for name, count in messages.items()],
        workers=[_worker_load(beat, busy.get(beat.name, 0)) for beat in beats],
        sizes=size_classes([batch.n_rows for batch in completed(batches)]),
        batches=batches,
        problems=problems,
    )


def _messages(queues: Sequence[str], depth: Callable[[str], int]) -> tuple[dict[str, int | None], list[str]]:
    """Messages by queue. One silence of the broker is enough: the other queues are not asked."""
    counts: dict[str, int | None] = dict.fromkeys(queues)
    try:
        for queue in queues:
            counts[queue] = depth(queue)
    except BrokerUnavailable as error:
        return counts, [str(error)]
    return counts, []


def _queue_depth(
    name: str, messages: int | None, groups: Sequence[BacklogGroup], beats: Sequence[WorkerBeat]
) -> QueueDepth:
    mine = [group for group in groups if group.queue == name]
    return QueueDepth(
        queue=name,
        messages=messages,
        buffered_rows=sum(beat.buffered.get(name, 0) for beat in beats),
        queued_jobs=sum(group.queued_jobs for group in mine),
        running_jobs=sum(group.running_jobs for group in mine),
        workers=sum(name in beat.queues for beat in beats),
    )


def _worker_load(beat: WorkerBeat, busy: int) -> WorkerLoad:
    return WorkerLoad(beat.name, beat.queues, beat.concurrency, busy, sum(beat.buffered.values()))


def completed(batches: Sequence[BatchView]) -> list[BatchView]:
    return [batch for batch in batches if batch.outcome == "completed"]


def size_classes(rows: Sequence[int]) -> list[SizeClass]:
    """How many of the batches, given by their rows, fall into each class. No classes without batches."""
    if not rows:
        return []
    counts = [0] * (len(SIZE_BOUNDS) + 1)
    for n_rows in rows:
        counts[bisect_left(SIZE_BOUNDS, n_rows)] += 1
    lower = [1, *(bound + 1 for bound in SIZE_BOUNDS)]
    labels = [str(low) if low == high else f"{low} to {high}" for low, high in zip(lower, SIZE_BOUNDS, strict=False)]
    labels.append(f"over {SIZE_BOUNDS[-1]}")
    return [SizeClass(label, count, count / len(rows)) for label, count in zip(labels, counts, strict=True)]
