"""Whether workers, keeper and (where webhooks wait) deliverer live, every queue is served, and nothing is stuck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from inferq_core.settings import Settings
from inferq_core.store.contract import Store
from inferq_core.store.records import ModelRecord, QueueBacklog, WorkerBeat
from inferq_core.store.webhook_records import DeliveryState
from inferq_monitoring.findings import Finding, fail, ok, warn
from inferq_monitoring.overview import WORKER_SEEN_WITHIN

# Seconds for which a worker that fell silent is worth telling.
SILENT_WITHIN = 3600.0
# Seconds that the oldest job of a queue may wait before it is worth telling.
LONG_WAIT = 60.0
KEEPER = "keeper"
DELIVERER = "deliverer"


def check_fleet(store: Store, settings: Settings) -> list[Finding]:
    workers = store.workers(seen_within=WORKER_SEEN_WITHIN)
    known = store.workers(seen_within=SILENT_WITHIN)
    backlog = store.stats().backlog
    return [
        *judge_workers(workers, known),
        *judge_queues(workers, wanted_queues(backlog, store.models(), settings)),
        judge_keeper(store.elected(KEEPER)),
        *judge_deliverer(
            store.elected(DELIVERER), some_wait=bool(store.deliveries(state=DeliveryState.PENDING, limit=1).deliveries)
        ),
        *judge_backlog(backlog, workers),
    ]


def judge_workers(workers: Sequence[WorkerBeat], known: Sequence[WorkerBeat]) -> Iterator[Finding]:
    """`known`: workers that live, or fell silent lately without saying that they stop."""
    if not workers:
        yield fail("workers", f"no worker reported itself within {WORKER_SEEN_WITHIN:g} s", "start `inferq worker`")
    for worker in workers:
        processes = f"{worker.concurrency} process{'' if worker.concurrency == 1 else 'es'}"
        yield ok("workers", f"{worker.host} pid {worker.pid} serves {', '.join(worker.queues)} with {processes}")
    alive = {worker.name for worker in workers}
    for worker in known:
        if worker.name not in alive:
            yield warn(
                "workers",
                f"{worker.host} pid {worker.pid} fell silent without stopping",
                "look at its log; what it ran is given back when the leases run out",
            )


def wanted_queues(
    backlog: Sequence[QueueBacklog], models: Sequence[ModelRecord], settings: Settings
) -> Mapping[str, str]:
    """Queues that some worker must serve, and why: jobs wait in them, or models send theirs there."""
    wanted: dict[str, str] = {}
    for model in models:
        wanted.setdefault(model.queue or settings.queue, f"the jobs of model {model.name} go there")
    for queue in backlog:
        jobs = queue.queued_jobs + queue.running_jobs
        wanted[queue.queue] = f"{jobs} job{' is' if jobs == 1 else 's are'} unfinished there"
    return wanted


def judge_queues(workers: Sequence[WorkerBeat], wanted: Mapping[str, str]) -> Iterator[Finding]:
    served = {queue for worker in workers for queue in worker.queues}
    for queue, why in sorted(wanted.items()):
        if queue in served:
            yield ok("queues", f"{queue} is served")
        else:
            yield fail(
                "queues",
                f"no worker serves {queue}, and {why}",
                f"start one: INFERQ_QUEUES={queue} inferq worker",
            )


def judge_keeper(holder: str | None) -> Finding:
    if holder is None:
        return fail("keeper", "no keeper swept lately: lost jobs stay lost", "start `inferq keeper`")
    return ok("keeper", f"{holder} is elected")


def judge_deliverer(holder: str | None, *, some_wait: bool) -> Iterator[Finding]:
    """Who has no webhooks needs none."""
    if holder is not None:
        yield ok("deliverer", f"{holder} delivers webhooks")
    elif some_wait:
        yield fail("deliverer", "webhooks wait, and no deliverer looked lately", "start `inferq deliverer`")


def judge_backlog(backlog: Sequence[QueueBacklog], workers: Sequence[WorkerBeat]) -> Iterator[Finding]:
    """Queues without a worker are left out: that is said already."""
    served = {queue for worker in workers for queue in worker.queues}
    for queue in backlog:
        waited = queue.oldest_seconds or 0.0
        found = f"{queue.queued_jobs} jobs wait in {queue.queue}, the oldest for {waited:.0f} s"
        if queue.queue not in served or not queue.queued_jobs:
            continue
        moves = queue.running_jobs or any(worker.buffered.get(queue.queue) for worker in workers)
        if waited <= LONG_WAIT:
            yield ok("backlog", found)
        elif moves:
            yield warn("backlog", found, "add workers, or processes (INFERQ_CONCURRENCY, --autoscale), or send less")
        else:
            yield fail(
                "backlog",
                f"{found}, and none runs",
                "look at the logs of the workers and of the keeper; restart the workers when they are stuck",
            )
    if not any(queue.queued_jobs for queue in backlog):
        yield ok("backlog", "no job waits")
