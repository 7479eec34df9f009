"""`make bench-eta`: how well `job.eta()`, asked right after submitting, tells when the job ends. Ours alone.

A table, and out/eta.json. A sample is a job of one row that comes behind a backlog of a certain depth and mix. The
worker is frozen while that is enqueued, for it drains about as fast as one client enqueues. Its eta is compared with
the time from asking, when the worker goes on, until its result was stored.
"""

import json
import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.models import LR, RF, rows
from benchmarks.servers import BACKENDS, Broker
from benchmarks.side import Ours

OUT = Path(__file__).parent / "out" / "eta.json"
BACKEND = "sqlite"
# Rows ahead by model.
MIXES = ({LR: 2_000}, {LR: 50_000}, {RF: 2_000}, {RF: 25_000}, {RF: 10_000, LR: 25_000})
REPEATS = 3
# Seconds within which workers have told what they learned, and the client looks anew.
SETTLE_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Sample:
    ahead: str
    eta: float | None  # seconds
    took: float  # seconds

    @property
    def error(self) -> float:
        """Relative to what it took; 1 where there was no estimate."""
        return 1.0 if self.eta is None else abs(self.eta - self.took) / self.took


def main() -> int:
    os.environ["OMP_NUM_THREADS"] = "1"
    console = Console()
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="inferq-bench-") as folder:
        broker = Broker(Path(folder) / "broker")
        try:
            with BACKENDS[BACKEND](Path(folder)) as database:
                ours = Ours(Path(folder), broker.url(0), database, with_worker=True)
                try:
                    samples = measure(ours)
                finally:
                    ours.close()
        finally:
            broker.stop()
    show(samples, console)
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"samples": [{**asdict(one), "error": one.error} for one in samples]}, indent=2) + "\n")
    return 0


def measure(ours: Ours) -> list[Sample]:
    ours.warm()
    for model in (LR, RF):
        ours.enqueue_many(model, 5_000)
    ours.wait_until_done()
    time.sleep(SETTLE_SECONDS)
    return [sample(ours, mix) for _ in range(REPEATS) for mix in MIXES]


def sample(ours: Ours, mix: dict[str, int]) -> Sample:
    ours.freeze()
    for model, count in mix.items():
        ours.enqueue_many(model, count)
    job = ours.client.submit(next(iter(mix)), rows()[:1], priority="bulk")
    ours.workers.thaw()
    asked = time.time()
    eta = job.eta()
    job.result(timeout=120)
    took = ours.finished_since(asked)[1] - asked
    ours.wait_until_done()
    return Sample(", ".join(f"{count:,} {model}" for model, count in mix.items()), eta, took)


def show(samples: list[Sample], console: Console) -> None:
    table = Table("enqueued before it", "eta, s", "took, s", "median error")
    for ahead in dict.fromkeys(one.ahead for one in samples):
        some = [one for one in samples if one.ahead == ahead]
        etas = [one.eta for one in some if one.eta is not None]
        eta = f"{statistics.median(etas):.2f}" if etas else "none"
        took = f"{statistics.median(one.took for one in some):.2f}"
        table.add_row(ahead, eta, took, f"{statistics.median(one.error for one in some):.0%}")
    console.print(table)
    console.print(f"median relative error {statistics.median(one.error for one in samples):.0%}")


if __name__ == "__main__":
    raise SystemExit(main())
