"""Whether the system can take more, and when a job would end, from a look at the load that is kept for a moment."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence

from inferq_core.errors import BacklogFull
from inferq_core.policy import admission as policy
from inferq_core.policy.admission import Price, Request, Rows, Snapshot
from inferq_core.settings import Settings
from inferq_core.states import Priority
from inferq_core.store.contract import Store

# Seconds for which a look is believed. What this client has submitted since is added to it; what others have is not.
FRESH_SECONDS = 1.0
# Seconds within which a worker must have reported itself to count.
WORKER_SEEN = 10.0


class Admission:
    """One for each client. Safe for threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._seen = Snapshot((), {}, {})
        self._added: dict[tuple[str, Priority, str], int] = {}

    def admit(self, requests: Sequence[Request]) -> None:
        """Let all of them in together, or raise BacklogFull. Those without bound and deadline cost nothing."""
        if all(request.max_backlog is None and request.deadline is None for request in requests):
            return
        together = _together(requests)
        with self._lock:
            snapshot = self._snapshot()
            for request in together:
                refusal = policy.judge(snapshot, request)
                if refusal is not None:
                    raise BacklogFull(request.model, refusal.reason, refusal.retry_after)
            for request in together:
                key = (request.queue, request.priority, request.model)
                self._added[key] = self._added.get(key, 0) + request.rows

    def eta(self, request: Request) -> float | None:
        """Seconds until `request.rows` of the model would end if they came now; None when that cannot be told.

        Looks anew: what was submitted without a bound a moment ago counts too.
        """
        return policy.eta(look(self._store, self._settings), request)

    def _snapshot(self) -> Snapshot:
        if time.monotonic() - self._looked_at >= FRESH_SECONDS:
            self._seen = look(self._store, self._settings)
            self._looked_at = time.monotonic()
            self._added = {}
        added = [Rows(*key, rows, 0) for key, rows in self._added.items()]
        return Snapshot((*self._seen.rows, *added), self._seen.prices, self._seen.processes)


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


def _together(requests: Sequence[Request]) -> list[Request]:
    """Those of one kind as one, so that the bound holds for all of them at once."""
    rows: dict[tuple[str, Priority, str, int | None, float | None], int] = defaultdict(int)
    for one in requests:
        rows[one.queue, one.priority, one.model, one.max_backlog, one.deadline] += one.rows
    return [
        Request(queue, priority, model, count, bound, deadline)
        for (queue, priority, model, bound, deadline), count in rows.items()
    ]
