"""How fast an application may enqueue: durable jobs of ours against messages alone of theirs. No worker runs."""

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.figure import Figure, Pair
from benchmarks.models import LR, rows
from benchmarks.side import Arena

THREADS = 16
ONE_BY_ONE = 1_000
FROM_THREADS = 3_200
MANY = 20_000
THEIR_JOBS = 1_600
BARS = {
    "submit, one thread, durable": {"sqlite": 1.0, "postgresql": 0.5},
    f"submit, {THREADS} threads, durable": {"sqlite": 4, "postgresql": 4},
    "submit_many, durable": {"sqlite": 20, "postgresql": 15},
}


def figures(arena: Arena, pairs: int) -> list[Figure]:
    measured = {name: [] for name in BARS}
    row = rows()[:1]
    plain = row[0].tolist()

    def submit(_):
        arena.ours.client.submit(LR, row)

    def apply(_):
        arena.theirs.tasks.predict.apply_async((LR, plain))

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(pairs):
            alone = _rate(THEIR_JOBS, lambda: [apply(None) for _ in range(THEIR_JOBS)])
            together = _rate(THEIR_JOBS, lambda: _from_all(threads, apply, THEIR_JOBS))
            sides = (
                (_rate(ONE_BY_ONE, lambda: [submit(None) for _ in range(ONE_BY_ONE)]), alone),
                (_rate(FROM_THREADS, lambda: _from_all(threads, submit, FROM_THREADS)), together),
                (_rate(MANY, lambda: arena.ours.enqueue_many(LR, MANY)), alone),
            )
            for name, (ours, theirs) in zip(BARS, sides, strict=True):
                measured[name].append(Pair(ours, theirs))
            arena.broker.client.flushall()
    backend = arena.database.backend
    return [Figure(name, backend, "jobs/s", bars[backend], measured[name]) for name, bars in BARS.items()]


def _from_all(threads: ThreadPoolExecutor, action, count: int) -> None:
    """`count` times in all, each thread its share."""
    list(threads.map(lambda _: [action(None) for _ in range(count // THREADS)], range(THREADS)))


def _rate(count: int, action) -> float:
    started = time.perf_counter()
    action()
    return count / (time.perf_counter() - started)
