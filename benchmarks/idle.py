"""From submit to the result in hand on an idle system: ours with SQL, theirs with Redis alone, in turns."""

import statistics
import time

from benchmarks.figure import Figure, Pair
from benchmarks.models import LR, rows
from benchmarks.side import Arena

SAMPLES = 2_000
WARM_UP = 50
BARS = {"p50": {"sqlite": 1.2, "postgresql": 2.0}, "p95": {"sqlite": 1.5, "postgresql": 2.0}}


def figures(arena: Arena, pairs: int) -> list[Figure]:
    arena.ours.workers.thaw()
    arena.theirs.workers.thaw()
    row = rows()[:1]
    plain = row[0].tolist()

    def ours():
        arena.ours.client.submit(LR, row).result(timeout=30)

    def theirs():
        arena.theirs.tasks.answer.delay(LR, plain).get(timeout=30)

    for _ in range(WARM_UP):
        ours()
        theirs()
    measured = {name: [] for name in BARS}
    for _ in range(pairs):
        samples = [(_milliseconds(ours), _milliseconds(theirs)) for _ in range(SAMPLES // pairs)]
        for name, quantile in (("p50", 50), ("p95", 95)):
            own, other = (statistics.quantiles(side, n=100)[quantile - 1] for side in zip(*samples, strict=True))
            measured[name].append(Pair(own, other))
    backend = arena.database.backend
    return [
        Figure(f"idle, submit to result, LR, {name}", backend, "ms", bars[backend], measured[name], at_most=True)
        for name, bars in BARS.items()
    ]


def _milliseconds(action) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1e3
