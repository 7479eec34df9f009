"""`make soak`: every fault with the default settings and outages that last, on both stores.

A table, and benchmarks/out/soak.json.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))
sys.path.insert(0, str(Path(__file__).parent))

from campaign import scene_on, strike
from faults import ALL
from rich.console import Console
from rich.table import Table
from scene import real

from inferq.local.embedded import server_binary

OUT = Path(__file__).parents[2] / "benchmarks" / "out" / "soak.json"
BACKENDS = ("sqlite", "postgresql")


def main():
    arguments = parsed()
    console = Console()
    rows = []
    for backend in arguments.backend:
        for row in campaign(backend, arguments):
            console.print(f"{backend}: {row.fault}: {said(row)}", highlight=False)
            rows.append(row)
            write(arguments, rows)  # each time: a run takes hours
    console.print(table(rows))
    return 1 if any(row.problems for row in rows) else 0


def write(arguments, rows):
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({"jobs": arguments.jobs, "faults": [asdict(row) for row in rows]}, indent=2))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="over all faults, and once more queued")
    parser.add_argument("--stopped", type=float, default=600, help="seconds for which the workers are away")
    parser.add_argument("--times", type=int, default=3, help="strikes of each fault")
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--only", default="", help="faults whose names match this pattern")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def campaign(backend, arguments):
    """A row for each fault."""
    faults = [fault for fault in ALL if backend in fault.backends and re.search(arguments.only, fault.name)]
    jobs = max(arguments.jobs // (len(faults) * arguments.times * len(arguments.backend)), 300)
    binary = shutil.which("redis-server") or str(server_binary())
    with (
        tempfile.TemporaryDirectory(prefix="inferq-soak-") as folder,
        scene_on(
            backend, Path(folder), binary, real(jobs, arguments.jobs, arguments.stopped), 3 * arguments.jobs
        ) as scene,
    ):
        for fault in faults:
            row = strike(scene, fault(), times=arguments.times)
            if row.problems:
                sys.stderr.write(scene.system.logs())
            yield row
        verdict = scene.history.verdict()
        assert verdict.clean, f"{len(scene.history)} jobs looked at once more in the end: {verdict}"


def said(row):
    if row.skipped:
        return f"skipped: {row.skipped}"
    counted = f"{row.times}x, {row.in_flight:,} in flight, {row.lost} lost, {row.doubled} doubled"
    return "; ".join([f"{counted}, {row.longest_recovery_s:g} s", *filter(None, [row.note]), *row.problems])


def table(rows):
    shown = Table("fault", "store", "times", "in flight", "lost", "doubled", "longest recovery (s)", "")
    for row in rows:
        numbers = (row.times, f"{row.in_flight:,}", row.lost, row.doubled, row.longest_recovery_s)
        cells = ["skipped", "", "", "", ""] if row.skipped else [str(number) for number in numbers]
        shown.add_row(row.fault, row.backend, *cells, row.skipped or "; ".join(filter(None, [row.note, *row.problems])))
    return shown


if __name__ == "__main__":
    raise SystemExit(main())
