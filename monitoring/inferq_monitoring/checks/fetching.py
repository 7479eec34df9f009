"""Whether workers take what waits in the broker: one that lives and is idle next to a full queue is stuck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from inferq_core.broker import Publisher
from inferq_core.settings import Settings
from inferq_core.store.contract import Store
from inferq_core.store.records import QueueBacklog, WorkerBeat
from inferq_monitoring.findings import Finding, fail, ok
from inferq_monitoring.overview import WORKER_SEEN_WITHIN

# Seconds that a job must have waited: less may be a message on its way.
ON_ITS_WAY = 30.0


def check_fetching(store: Store, settings: Settings) -> list[Finding]:
    workers = store.workers(seen_within=WORKER_SEEN_WITHIN)
    backlog = store.stats().backlog
    served = {queue for worker in workers for queue in worker.queues}
    with closing(Publisher(settings.broker)) as publisher:
        depths = {queue.queue: publisher.depth(queue.queue) for queue in backlog if queue.queue in served}
    return list(judge_fetching(depths, backlog, workers, store.now()))


def judge_fetching(
    depths: Mapping[str, int], backlog: Sequence[QueueBacklog], workers: Sequence[WorkerBeat], now: float
) -> Iterator[Finding]:
    """`depths`: messages in the broker, of the queues that live workers serve; `now` by the store's clock."""
    stuck = False
    for queue in backlog:
        depth = depths.get(queue.queue, 0)
        serving = [worker for worker in workers if queue.queue in worker.queues]
        busy = queue.running_jobs or any(worker.buffered.get(queue.queue) for worker in serving)
        if not depth or not serving or busy or (queue.oldest_seconds or 0.0) < ON_ITS_WAY:
            continue
        stuck = True
        marks = [at for worker in serving for (name, _), at in worker.marks.items() if name == queue.queue]
        last = (
            f"the last one they received was published {now - max(marks):.0f} s ago" if marks else "they got none yet"
        )
        yield fail(
            "fetching",
            f"{depth} messages wait in the broker for {queue.queue}, and nobody takes them: "
            f"{len(serving)} live workers that serve it do nothing; {last}",
            "look for worker_reconnects and worker_stuck in their logs; restart them",
        )
    if not stuck:
        yield ok("fetching", "no queue waits for idle workers")
