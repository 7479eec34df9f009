"""What a queued job takes in the broker's memory."""

from benchmarks.figure import Figure, Pair
from benchmarks.models import LR
from benchmarks.side import Arena

SINGLE_JOBS = 2_000
BULK_JOBS = 20_000


def figures(arena: Arena) -> list[Figure]:
    """Bytes of the lists per job. No worker runs."""
    single = _bytes(arena, SINGLE_JOBS, lambda: arena.ours.enqueue(LR, SINGLE_JOBS))
    bulk = _bytes(arena, BULK_JOBS, lambda: arena.ours.enqueue_many(LR, BULK_JOBS))
    return [
        Figure("broker memory per job, single", "redis", "bytes", 500, [Pair(single)], at_most=True),
        Figure("broker memory per job, submit_many", "redis", "bytes", 64, [Pair(bulk)], at_most=True),
    ]


def _bytes(arena: Arena, jobs: int, enqueue) -> float:
    client = arena.broker.client
    client.flushall()
    enqueue()
    lists = [key for key in client.scan_iter() if client.type(key) == b"list"]
    total = sum(client.memory_usage(key, samples=0) for key in lists)
    client.flushall()
    return total / jobs
