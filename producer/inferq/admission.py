"""Whether the system can take more, and when a job would end, from a look at the load that is kept for a moment."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TypeAlias

from inferq_core.errors import BacklogFull
from inferq_core.ids import JobId
from inferq_core.policy import admission as policy
from inferq_core.policy.admission import Price, Request, Rows, Snapshot
from inferq_core.settings import Settings
from inferq_core.states import Priority
from inferq_core.store.contract import Store
from inferq_core.store.records import NewJob, PendingRef

# Seconds for which a look is believed, at least and at most; in between TIMES_ITS_PRICE what it took, so that looking
# takes no more than a tenth of the time. What this client has submitted since is added, what others have is not.
FRESH_FIRST, FRESH_LAST = 0.1, 1.0
TIMES_ITS_PRICE = 10
# Who waits for room goes on when one part of this many of the bound is free.
GOOD_PART = 4
# Seconds within which a worker must have reported itself to count.
WORKER_SEEN = 10.0

# For jobs that nobody judges.
_FREE = nullcontext()

# Queue, priority and model.
Kind: TypeAlias = tuple[str, Priority, str]


class Admission:
    """One for each client. Safe for threads; its lock is never held while the store is asked.

    `bound(model)`: the model's `max_backlog`. A job without bound and deadline is not judged, and costs no look. What
    this client has stored since the last look is added to it: whoever stores tells `count`.
    """

    def __init__(self, store: Store, settings: Settings, bound: Callable[[str], int | None]) -> None:
        self._store = store
        self._settings = settings
        self._bound = bound
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._fresh = FRESH_FIRST
        self._seen = Snapshot((), {}, {})
        self._looking = threading.Lock()
        self._open: dict[JobId, Request] = {}  # let in, and not known to be stored
        # Rows stored since the last look began, and before that while it is under way.
        self._stored: Counter[Kind] = Counter()
        self._stored_before: Counter[Kind] = Counter()

    def reserve(self, jobs: Sequence[NewJob]) -> None:
        """Let all of them in together, or raise BacklogFull. Call `release` once it is known what became of them.

        A job whose key stands for one already is let in, however full it is: that one answers.
        """
        if not any(map(self._is_judged, jobs)):
            return
        requests = {job.id: self._request(job) for job in jobs}
        for job in jobs:
            if job.idempotency_key is not None and self._store.keyed(job.idempotency_key) is not None:
                del requests[job.id]
        self._refresh()
        with self._lock:
            self._judge(_together(requests.values()))
            self._open.update(requests)

    def release(self, jobs: Sequence[NewJob]) -> None:
        """They are stored, and counted as such, or never will be: then others may have their room."""
        with self._lock:
            for job in jobs:
                self._open.pop(job.id, None)

    def entering(self, jobs: Sequence[NewJob]) -> AbstractContextManager[None]:
        """Let all of them in while they are stored, or raise BacklogFull. What raises within gives their room back."""
        return self._entering(jobs) if any(map(self._is_judged, jobs)) else _FREE

    def count(self, stored: Sequence[PendingRef]) -> None:
        """These have been stored."""
        with self._lock:
            for ref in stored:
                self._open.pop(ref.id, None)
                self._stored[ref.queue, ref.priority, ref.model] += ref.n_rows

    def room(self, request: Request) -> int:
        """How many of its rows there is room for, by a look of now: all, or a good part of the bound.

        Raises BacklogFull while there is less, so that who waits does not fill a full backlog up row by row.
        """
        if request.max_backlog is None:
            return request.rows
        self._refresh()
        with self._lock:
            snapshot = self._snapshot()
            worthwhile = min(request.rows, -(-request.max_backlog // GOOD_PART))
            self._require(snapshot, replace(request, rows=worthwhile))
            return min(request.rows, request.max_backlog - snapshot.backlog(request.model))

    def fitting(self, jobs: Sequence[NewJob]) -> int:
        """How many of the jobs, from the first on, may come in together. Raises BacklogFull when the first may not."""
        if not any(map(self._is_judged, jobs)):
            return len(jobs)
        requests = [self._request(job) for job in jobs]
        self._refresh()
        with self._lock:
            self._judge(requests[:1])
            return bisect_left(range(1, len(jobs) + 1), 1, key=lambda n: int(self._refuses(requests[:n])))

    def eta(self, request: Request) -> float | None:
        """Seconds until `request.rows` of the model would end if they came now; None when that cannot be told."""
        self._refresh()
        with self._lock:
            return policy.eta(self._snapshot(), request)

    @contextmanager
    def _entering(self, jobs: Sequence[NewJob]) -> Iterator[None]:
        self.reserve(jobs)
        try:
            yield
        finally:
            self.release(jobs)

    def _is_judged(self, job: NewJob) -> bool:
        return job.deadline is not None or self._bound(job.model) is not None

    def _request(self, job: NewJob) -> Request:
        return Request(job.queue, job.priority, job.model, job.n_rows, self._bound(job.model), job.deadline)

    def _judge(self, requests: Sequence[Request]) -> None:
        """Each after those before it. Raises BacklogFull; the lock is held."""
        snapshot = self._snapshot()
        for request in requests:
            self._require(snapshot, request)
            snapshot = replace(snapshot, rows=(*snapshot.rows, Rows(*_kind(request), request.rows, 0)))

    def _refuses(self, requests: Sequence[Request]) -> bool:
        """Whether they may not come in together; the lock is held."""
        try:
            self._judge(_together(requests))
        except BacklogFull:
            return True
        return False

    def _require(self, snapshot: Snapshot, request: Request) -> None:
        """Raises BacklogFull."""
        refusal = policy.judge(snapshot, request)
        if refusal is not None:
            # Sooner, the same look would refuse it again.
            after = None if refusal.retry_after is None else max(refusal.retry_after, self._fresh)
            raise BacklogFull(request.model, refusal.reason, after, never_fits=refusal.never_fits)

    def _refresh(self) -> None:
        """Look anew unless somebody just did. During a look the others go by the one before it."""
        if time.monotonic() - self._looked_at < self._fresh:
            return
        if not self._looking.acquire(blocking=self._looked_at == float("-inf")):
            return
        try:
            began = time.monotonic()
            if began - self._looked_at < self._fresh:
                return
            with self._lock:
                self._stored, self._stored_before = Counter(), self._stored + self._stored_before
            seen = look(self._store, self._settings)
            with self._lock:
                self._seen, self._looked_at, self._stored_before = seen, time.monotonic(), Counter()
            took = self._looked_at - began
            self._fresh = min(max(TIMES_ITS_PRICE * took, FRESH_FIRST), FRESH_LAST)
        finally:
            self._looking.release()

    def _snapshot(self) -> Snapshot:
        """The last look and what this client has submitted since; the lock is held."""
        since = self._stored + self._stored_before
        for request in self._open.values():
            since[_kind(request)] += request.rows
        return replace(self._seen, rows=(*self._seen.rows, *(Rows(*kind, rows, 0) for kind, rows in since.items())))


def look(store: Store, settings: Settings) -> Snapshot:
    """The load now. Reads all unfinished jobs' rows of `pending` once."""
    rows = [
        Rows(group.queue, group.priority, group.model, group.queued_rows, group.running_rows)
        for group in store.backlog()
    ]
    processes: dict[str, int] = defaultdict(int)
    prices: dict[str, Price] = {}
    batch_rows = {model.name: model.max_batch_rows for model in store.models()}
    for worker in store.workers(seen_within=WORKER_SEEN):
        for queue in worker.queues:
            processes[queue] += worker.concurrency
        for model, (per_batch, per_row) in worker.costs.items():
            # Workers on equal machines learn the same; on others, the slowest is what can be promised.
            price = Price(per_batch, per_row, batch_rows.get(model) or settings.max_batch_rows)
            known = prices.get(model)
            if known is None or price.seconds(price.batch_rows) > known.seconds(known.batch_rows):
                prices[model] = price
    return Snapshot(rows, prices, dict(processes))


def _kind(request: Request) -> Kind:
    return request.queue, request.priority, request.model


def _together(requests: Iterable[Request]) -> list[Request]:
    """Those of one kind as one."""
    rows: dict[Request, int] = defaultdict(int)
    for one in requests:
        rows[replace(one, rows=0)] += one.rows
    return [replace(kind, rows=count) for kind, count in rows.items()]
