"""Measurements of ours alone, on each store: a table, and a file in the form of latest.json."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.figure import Figure
from benchmarks.report import table
from benchmarks.servers import BACKENDS, Broker

Measure = Callable[[str, Broker, Path, Console], list[Figure]]


def add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=list(BACKENDS), help="one of the two stores only")


def run(measure: Measure, backend: str | None, out: Path) -> int:
    """Measure on the store named, or on each; the exit code is 1 when a bar was missed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="inferq-bench-") as folder:
        broker = Broker(Path(folder) / "broker")
        try:
            for name in [backend] if backend else BACKENDS:
                part = Path(folder) / name
                part.mkdir()
                figures += measure(name, broker, part, console)
        finally:
            broker.stop()
    console.print(table(figures))
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"figures": [figure.as_json() for figure in figures]}, indent=2) + "\n")
    return 0 if all(figure.met for figure in figures) else 1
