"""`make bench-urgent`: how long interactive work waits while a worker drains bulk work. Ours alone.

A table, and out/urgent.json in the form of latest.json. A sample is one job from submit to the result in hand. The bar
is three times what it takes on an idle system, and one batch of the bulk work, which cannot be interrupted: the median
of those that ran meanwhile, which are smaller than without interactive work.
"""

import argparse
import statistics
import time
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console

from benchmarks.alone import add_backend, run
from benchmarks.figure import Figure, Pair
from benchmarks.models import LR, rows
from benchmarks.servers import BACKENDS, Broker
from benchmarks.side import Ours
from inferq_core.redis_lists import STEPS, key_of
from inferq_core.states import Priority

OUT = Path(__file__).parent / "out" / "urgent.json"
QUEUED = 200_000
IDLE_SAMPLES = 400
REPEATS = 3
BATCH_SECONDS = """
SELECT finished_at - claimed_at AS seconds FROM batches WHERE claimed_at > :since AND n_rows > 1
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_backend(parser)
    parser.add_argument("--queued", type=int, default=QUEUED)
    arguments = parser.parse_args()

    def on(backend: str, broker: Broker, folder: Path, console: Console) -> list[Figure]:
        return [measure(backend, broker, folder, arguments.queued, console)]

    return run(on, arguments.backend, OUT)


def measure(backend: str, broker: Broker, folder: Path, queued: int, console: Console) -> Figure:
    with BACKENDS[backend](folder) as database:
        ours = Ours(folder, broker.url(0), database, with_worker=True)
        engine = sa.create_engine(database.url)
        try:
            ours.warm()
            pairs = []
            for _ in range(REPEATS):
                idle = p95([sample(ours) for _ in range(IDLE_SAMPLES)])
                busy, batch = while_draining(ours, broker, engine, queued)
                pairs.append(Pair(p95(busy), 3 * idle + batch))
                console.print(
                    f"{backend}: idle p95 {idle:.1f} ms, while draining p50 {statistics.median(busy):.1f} and p95 "
                    f"{p95(busy):.1f} ms of {len(busy)} jobs, a batch {batch:.1f} ms"
                )
        finally:
            engine.dispose()
            ours.close()
    name = f"interactive p95 with {queued:,} bulk jobs queued, against 3 × idle + a batch"
    return Figure(name, backend, "ms", 1.0, pairs, at_most=True)


def while_draining(ours: Ours, broker: Broker, engine: sa.Engine, queued: int) -> tuple[list[float], float]:
    """Samples while bulk messages wait in the broker, and the median of all other batches; milliseconds."""
    bulk = key_of(ours.settings.queue, STEPS[Priority.BULK])
    ours.freeze()
    ours.enqueue_many(LR, queued)
    since = time.time()
    ours.workers.thaw()
    samples = []
    while broker.client.llen(bulk):
        samples.append(sample(ours))
    ours.wait_until_done()
    with engine.connect() as connection:
        found = connection.execute(sa.text(BATCH_SECONDS), {"since": since}).scalars().all()
    return samples, statistics.median(found) * 1e3


def sample(ours: Ours) -> float:
    started = time.perf_counter()
    ours.client.submit(LR, rows()[:1], priority="interactive").result(timeout=60)
    return (time.perf_counter() - started) * 1e3


def p95(samples: list[float]) -> float:
    return statistics.quantiles(samples, n=100)[94]


if __name__ == "__main__":
    raise SystemExit(main())
