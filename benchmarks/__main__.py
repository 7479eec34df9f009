"""`make bench`: measure, print a table, write benchmarks/out/latest.json."""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.drain import ours, theirs
from inferq.local.embedded import EmbeddedBroker
from inferq_core.settings import Settings

OUT = Path(__file__).parent / "out" / "latest.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="interleaved pairs of runs")
    parser.add_argument("--jobs", type=int, default=6000, help="jobs of one run of inferq; a tenth for the other side")
    arguments = parser.parse_args()
    console = Console()
    pairs = []
    for number in range(arguments.pairs):
        hand = measured(theirs, max(arguments.jobs // 10, 200))
        own = measured(ours, arguments.jobs)
        console.print(
            f"pair {number + 1}: inferq {own:,.0f} jobs/s, hand-written {hand:,.0f} jobs/s: {own / hand:.1f}×"
        )
        pairs.append((own, hand))
    figure = summarise(pairs)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"figures": [figure]}, indent=2) + "\n")
    table = Table("figure", "store", "inferq", "hand-written", "ratio (spread)", "bar", "met")
    spread = f"{figure['ratio']:.1f}× ({min(figure['ratios']):.1f}–{max(figure['ratios']):.1f})"
    table.add_row(
        figure["name"],
        figure["backend"],
        f"{figure['ours']:,.0f}/s",
        f"{figure['theirs']:,.0f}/s",
        spread,
        f"≥ {figure['bar']}×",
        "yes" if figure["met"] else "NO",
    )
    console.print(table)
    load = subprocess.run(["uptime"], capture_output=True, text=True, check=False).stdout.strip()
    console.print(f"machine: {load}")
    return 0 if figure["met"] else 1


def measured(side, jobs):
    """Run one side on a broker and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="inferq-bench-") as folder:
        settings = Settings(home=Path(folder) / "broker")
        broker = EmbeddedBroker(settings)
        try:
            return side(settings.broker, Path(folder), jobs)
        finally:
            broker.stop()


def summarise(pairs):
    ratios = [own / hand for own, hand in pairs]
    bar = 4.0
    return {
        "name": "drain single-row jobs, random forest of 100 trees",
        "backend": "sqlite",
        "ours": statistics.median(own for own, _ in pairs),
        "theirs": statistics.median(hand for _, hand in pairs),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "bar": bar,
        "met": statistics.median(ratios) >= bar,
    }


if __name__ == "__main__":
    raise SystemExit(main())
