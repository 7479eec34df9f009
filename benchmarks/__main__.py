"""`make bench`: measure inferq against the hand-written Celery task in one run; a table, a chart, out/latest.json."""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks import drain, footprint, idle, serving, submitting
from benchmarks.figure import Figure
from benchmarks.machine import fsync_p50
from benchmarks.report import chart, table
from benchmarks.servers import BACKENDS, Broker
from benchmarks.side import arena

OUT = Path(__file__).parent / "out" / "latest.json"
GROUPS = ("drain", "submit", "idle", "memory", "http")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs of each figure")
    parser.add_argument("--backend", choices=list(BACKENDS), help="one of the two stores only")
    parser.add_argument("--only", choices=GROUPS, nargs="+", default=GROUPS, help="groups of figures")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    started = time.monotonic()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="inferq-bench-") as folder:
        fsync = fsync_p50(Path(folder))
        broker = Broker(Path(folder) / "broker")
        try:
            for backend in [arguments.backend] if arguments.backend else BACKENDS:
                figures += measure(backend, broker, Path(folder), arguments, console)
        finally:
            broker.stop()
    console.print(table(figures), chart(figures))
    minutes = (time.monotonic() - started) / 60
    console.print(f"fsync p50 {fsync * 1e3:.2f} ms, load at the end {os.getloadavg()[0]:.1f}, {minutes:.1f} minutes")
    OUT.parent.mkdir(exist_ok=True)
    facts = {"cores": os.cpu_count(), "python": platform.python_version(), "fsync_p50_ms": fsync * 1e3}
    OUT.write_text(json.dumps({"figures": [figure.as_json() for figure in figures], "machine": facts}, indent=2) + "\n")
    return 0 if all(figure.met for figure in figures) else 1


def measure(
    backend: str, broker: Broker, folder: Path, arguments: argparse.Namespace, console: Console
) -> list[Figure]:
    """The figures on one store: with both workers, then with none (so that enqueuing has the machine for itself)."""
    figures: list[Figure] = []
    for with_workers in (True, False):
        part = folder / f"{backend}-{'workers' if with_workers else 'alone'}"
        part.mkdir()
        with BACKENDS[backend](part) as database, arena(part, broker, database, with_workers=with_workers) as opened:
            steps = (
                {
                    "drain": lambda: drain.figures(opened, arguments.pairs),
                    "idle": lambda: idle.figures(opened, arguments.pairs),
                    "http": lambda: serving.answered(opened, arguments.pairs),
                }
                if with_workers
                else {
                    "submit": lambda: submitting.figures(opened, arguments.pairs),
                    "http": lambda: serving.accepted(opened, arguments.pairs),
                    "memory": lambda: footprint.figures(opened) if backend == "sqlite" else [],
                }
            )
            for name, step in steps.items():
                if name in arguments.only:
                    for figure in step():
                        figures.append(figure)
                        console.print(f"{figure.backend}: {figure.name}: {figure.value:,.2f} (bar {figure.bar:g})")
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
