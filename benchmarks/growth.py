"""`make bench-growth`: what a million queued jobs and ten million stored results do to the workers. Ours alone.

A table, and out/growth.json in the form of latest.json.
"""

import argparse
import statistics
import time
from pathlib import Path

import psutil
import sqlalchemy as sa

from benchmarks.alone import add_backend, run
from benchmarks.figure import Figure, Pair
from benchmarks.models import LR
from benchmarks.servers import BACKENDS, Broker
from benchmarks.side import Ours

OUT = Path(__file__).parent / "out" / "growth.json"
FEW, MANY = 10_000, 1_000_000
STORED = 10_000_000
REPEATS = 7
# Jobs after which a worker's memory is taken for settled.
SETTLED = 200_000
LOOK_SECONDS = 0.5

# Ids of version 7, a millisecond apart, that end an hour ago; one batch per 256 results.
STORE_RESULTS = """
INSERT INTO results (id, state, model, version, variant, outputs, attempt, batch_id, batch_rows, worker, created_at,
    claimed_at, predicted_at, completed_at)
SELECT CAST(lpad(to_hex(at), 12, '0') || '7000' || '8000' || lpad(to_hex(n), 12, '0') AS uuid), 'succeeded', 'lr', 1,
    'primary', '[1]', 1, CAST(lpad(to_hex(at), 12, '0') || '7000' || '9000' || lpad(to_hex(n / 256), 12, '0') AS uuid),
    256, 'host:1:abc', at / 1000.0, at / 1000.0, at / 1000.0, at / 1000.0
FROM (SELECT n, CAST(extract(epoch FROM now()) * 1000 AS bigint) - 3600000 - :stored + n AS at
    FROM generate_series(1, :stored) AS n) AS numbered
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_backend(parser)
    parser.add_argument("--queued", type=int, default=MANY)
    parser.add_argument("--stored", type=int, default=STORED)
    arguments = parser.parse_args()
    return run(lambda *place: measure(*place[:3], arguments), arguments.backend, OUT)


def measure(backend: str, broker: Broker, folder: Path, arguments: argparse.Namespace) -> list[Figure]:
    with BACKENDS[backend](folder) as database:
        ours = Ours(folder, broker.url(0), database, with_worker=True)
        engine = sa.create_engine(database.url)
        try:
            ours.warm()
            few = [drain_few(ours, engine) for _ in range(REPEATS)]
            many, memory = drain_many(ours, engine, arguments.queued)
            figures = [
                Figure(
                    f"drain with {arguments.queued:,} queued, against {FEW:,}",
                    backend,
                    "jobs/s",
                    0.9,
                    [Pair(many, statistics.median(few))],
                ),
                Figure(
                    f"growth of a worker process over {arguments.queued:,} jobs",
                    backend,
                    "MB per million",
                    5,
                    [Pair(max(memory))],
                    at_most=True,
                ),
            ]
            if backend == "postgresql":
                few = [drain_few(ours, engine) for _ in range(REPEATS)]
                with engine.begin() as connection:
                    connection.execute(sa.text(STORE_RESULTS), {"stored": arguments.stored})
                with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.execute(sa.text("VACUUM ANALYZE results"))
                    connection.execute(sa.text("CHECKPOINT"))
                after = [drain_few(ours, engine) for _ in range(REPEATS)]
                figures.append(
                    Figure(
                        f"drain with {arguments.stored:,} results stored, against none",
                        backend,
                        "jobs/s",
                        0.8,
                        [Pair(own, other) for own, other in zip(after, few, strict=True)],
                    )
                )
            return figures
        finally:
            engine.dispose()
            ours.close()


def drain_few(ours: Ours, engine: sa.Engine) -> float:
    """Jobs per second of FEW queued jobs, from the first claim to the last result."""
    since = start(ours, FEW)
    ours.wait_until_done()
    return rates(engine, since, FEW)[0]


def drain_many(ours: Ours, engine: sa.Engine, queued: int) -> tuple[float, list[float]]:
    """The median rate over stretches of FEW jobs, and the growth of each process in MB per million jobs."""
    since = start(ours, queued)
    processes = [psutil.Process(pid) for pid in ours.workers.pids[:1]]
    processes += processes[0].children()
    while finished(engine, since) < min(SETTLED, queued // 2):
        time.sleep(LOOK_SECONDS)
    settled, at = [own_bytes(process) for process in processes], finished(engine, since)
    ours.wait_until_done()
    grown = [own_bytes(process) - before for process, before in zip(processes, settled, strict=True)]
    return statistics.median(rates(engine, since, FEW)), [size / (queued - at) for size in grown]


def start(ours: Ours, count: int) -> float:
    ours.freeze()
    ours.enqueue_many(LR, count)
    since = time.time()
    ours.workers.thaw()
    return since


def own_bytes(process: psutil.Process) -> int:
    return process.memory_full_info().uss


def finished(engine: sa.Engine, since: float) -> int:
    statement = sa.text("SELECT coalesce(sum(n_jobs), 0) FROM batches WHERE finished_at > :since")
    with engine.connect() as connection:
        return int(connection.execute(statement, {"since": since}).scalar_one())


def rates(engine: sa.Engine, since: float, stretch: int) -> list[float]:
    """Jobs per second of each stretch of so many jobs, in the order in which their batches finished."""
    statement = sa.text("SELECT claimed_at, finished_at, n_jobs FROM batches WHERE finished_at > :since ORDER BY 2")
    with engine.connect() as connection:
        batches = connection.execute(statement, {"since": since}).all()
    found = []
    started, jobs = min(batch.claimed_at for batch in batches), 0
    for batch in batches:
        jobs += batch.n_jobs
        if jobs >= stretch:
            found.append(jobs / (batch.finished_at - started))
            started, jobs = batch.finished_at, 0
    return found


if __name__ == "__main__":
    raise SystemExit(main())
