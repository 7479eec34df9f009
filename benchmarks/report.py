"""The figures as people read them."""

from collections.abc import Sequence

from rich.table import Table

from benchmarks.figure import Figure

BAR_WIDTH = 40


def table(figures: Sequence[Figure]) -> Table:
    shown = Table("figure", "store", "inferq", "other side", "value (spread)", "bar", "met", "CPU µs/job")
    for figure in figures:
        facts = figure.as_json()
        spread = f"{figure.value:,.2f} ({min(facts['ratios']):,.2f}–{max(facts['ratios']):,.2f})"
        sides = [f"{side:,.4g} {figure.unit}" if side is not None else "" for side in (facts["ours"], facts["theirs"])]
        costs = facts["cpu_us_per_job"]
        shown.add_row(
            figure.name,
            figure.backend,
            *sides,
            spread,
            f"{'≤' if figure.at_most else '≥'} {figure.bar:g}",
            "yes" if figure.met else "NO",
            f"{costs[0]:,.0f} / {costs[1]:,.0f}" if costs else "",
        )
    return shown


def chart(figures: Sequence[Figure]) -> Table:
    """How far each figure is from its bar, which stands at half the width; further to the right is better."""
    shown = Table.grid(padding=(0, 1))
    for figure in figures:
        reached = figure.bar / figure.value if figure.at_most else figure.value / figure.bar
        length = round(min(reached, 2.0) / 2 * BAR_WIDTH)
        line = ("█" * length).ljust(BAR_WIDTH)
        middle = BAR_WIDTH // 2
        drawn = f"{line[:middle]}│{line[middle:]}"
        shown.add_row(f"{figure.name}, {figure.backend}", drawn, f"{reached:.2f} of the bar")
    return shown
