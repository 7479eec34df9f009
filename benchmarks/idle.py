"""From submit to the result in hand on an idle system: ours with SQL, theirs with Redis alone, in turns."""

import statistics
import time
from dataclasses import dataclass

from benchmarks.figure import Figure, Pair
from benchmarks.models import LR, RF, RF_ONNX, rows
from benchmarks.side import Arena

SAMPLES = 2_000
WARM_UP = 50
QUANTILES = {"p50": 50, "p95": 95}


@dataclass(frozen=True)
class Case:
    """A model as each side knows it, and the bars: by quantile, then by store."""

    title: str
    ours: str
    theirs: str
    bars: dict[str, dict[str, float]]


CASES = (
    Case("LR", LR, LR, {"p50": {"sqlite": 1.2, "postgresql": 2.0}, "p95": {"sqlite": 1.5, "postgresql": 2.0}}),
    Case("RF through ONNX", RF_ONNX, RF, {"p50": {"sqlite": 0.6}}),
)


def figures(arena: Arena, pairs: int) -> list[Figure]:
    arena.ours.workers.thaw()
    arena.theirs.workers.thaw()
    backend = arena.database.backend
    return [
        Figure(
            f"idle, submit to result, {case.title}, {name}", backend, "ms", bars[backend], measured[name], at_most=True
        )
        for case in CASES
        if any(backend in bars for bars in case.bars.values())
        for measured in [_measure(arena, case, pairs)]
        for name, bars in case.bars.items()
    ]


def _measure(arena: Arena, case: Case, pairs: int) -> dict[str, list[Pair]]:
    row = rows()[:1]
    plain = row[0].tolist()

    def ours():
        arena.ours.client.submit(case.ours, row).result(timeout=30)

    def theirs():
        arena.theirs.tasks.answer.delay(case.theirs, plain).get(timeout=30)

    return in_turns(ours, theirs, pairs, SAMPLES)


def in_turns(ours, theirs, pairs: int, samples: int) -> dict[str, list[Pair]]:
    """Milliseconds of the two actions, `samples` times in turns: pairs by quantile."""
    for _ in range(WARM_UP):
        ours()
        theirs()
    measured = {name: [] for name in QUANTILES}
    for _ in range(pairs):
        taken = [(_milliseconds(ours), _milliseconds(theirs)) for _ in range(samples // pairs)]
        for name, quantile in QUANTILES.items():
            own, other = (statistics.quantiles(side, n=100)[quantile - 1] for side in zip(*taken, strict=True))
            measured[name].append(Pair(own, other))
    return measured


def _milliseconds(action) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1e3
