"""How fast a backlog is worked off, and what it costs."""

import time

from benchmarks import roofline
from benchmarks.figure import Figure, Pair
from benchmarks.machine import cpu_seconds
from benchmarks.models import LR, RF
from benchmarks.side import Arena

SINGLE_JOBS = 12_000
BULK_JOBS = 40_000
ROOFLINE_JOBS = 30_000
ROOFLINE_BAR = 0.6
THEIR_JOBS = {LR: 1_000, RF: 400}
BARS = {
    ("single", RF): {"sqlite": 50, "postgresql": 60},
    ("single", LR): {"sqlite": 20, "postgresql": 20},
    ("bulk", LR): {"sqlite": 50, "postgresql": 60},
}
NAMES = {
    ("single", RF): "drain, single-row jobs, one message each, RF",
    ("single", LR): "drain, single-row jobs, one message each, LR",
    ("bulk", LR): "drain, enqueued with submit_many, LR",
}


def figures(arena: Arena, pairs: int) -> list[Figure]:
    measured = {kind: [] for kind in NAMES}
    shares = []
    for _ in range(pairs):
        for model in (RF, LR):
            theirs = _drain(arena, arena.theirs, lambda model=model: arena.theirs.enqueue(model, THEIR_JOBS[model]))
            ours = _drain(arena, arena.ours, lambda model=model: arena.ours.enqueue(model, SINGLE_JOBS))
            measured["single", model].append(_pair(ours, theirs))
            if model == LR:
                bulk = _drain(arena, arena.ours, lambda: arena.ours.enqueue_many(LR, BULK_JOBS))
                measured["bulk", LR].append(_pair(bulk, theirs))
                arena.freeze()
                shares.append(Pair(bulk[0], roofline.rate(arena.ours, arena.theirs, ROOFLINE_JOBS)))
    backend = arena.database.backend
    return [
        *(Figure(name, backend, "jobs/s", BARS[kind][backend], measured[kind]) for kind, name in NAMES.items()),
        Figure("drain, bulk LR, against a bare loop", backend, "jobs/s", ROOFLINE_BAR, shares),
    ]


def _pair(ours, theirs) -> Pair:
    return Pair(ours[0], theirs[0], (ours[1], theirs[1]))


def _drain(arena: Arena, side, enqueue) -> tuple[float, float]:
    """Jobs per second from the moment the worker may begin to the last result, and CPU microseconds per job."""
    arena.freeze()
    enqueue()
    roots = [*side.workers.pids, *arena.servers]
    spent = cpu_seconds(roots)
    started = time.time()
    side.workers.thaw()
    side.wait_until_done()
    count, ended = side.finished_since(started)
    return count / (ended - started), (cpu_seconds(roots) - spent) / count * 1e6
