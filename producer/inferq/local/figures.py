"""What the demonstration measures: computed from what is in the store, shown as a table and written as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from inferq.job import Result
from inferq_core.ids import JobId
from inferq_core.states import State

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of the demonstration. Times in seconds."""

    model: str
    version: int
    accepted: int
    succeeded: int
    failed: int
    missing: int  # accepted jobs without a result
    attempts: int
    extra_attempts: int  # claims beyond the first, because a process was killed
    killed_process: int | None  # pid of the pool process that was killed at work
    elapsed: float  # from the first submit to the last result
    throughput: float  # results per second
    latency: Mapping[str, Mapping[str, float]]  # stage, percentile
    latency_interactive: Mapping[str, Mapping[str, float]]  # of the single interactive jobs alone
    batch_rows: Mapping[int, int]  # rows of a batch, number of such batches
    feedback: int  # jobs whose truth is known
    accuracy: float  # of the stored results against the stored truth
    offline_accuracy: float  # of the same model on the same rows

    @property
    def good(self) -> bool:
        """Every accepted job has exactly one result, and the accuracy is the offline one."""
        return (
            self.missing == 0
            and self.succeeded == self.accepted == self.feedback
            and self.accuracy == self.offline_accuracy
        )


def latency(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Percentiles (seconds) of each stage over the results that reached it."""
    stages: dict[str, list[float | None]] = {
        "queued": [result.timings.queued for result in results],
        "claimed to predicted": [result.timings.predicted for result in results],
        "total": [result.timings.total for result in results],
    }
    return {
        stage: {f"p{share}": float(np.percentile(known, share)) for share in PERCENTILES}
        for stage, values in stages.items()
        if (known := [value for value in values if value is not None])
    }


def batch_sizes(results: Sequence[Result]) -> dict[int, int]:
    """How many batches there were of each size (rows)."""
    rows = {result.batch_id: result.batch_rows for result in results if result.batch_id is not None}
    return dict(sorted(Counter(rows.values()).items()))


def accuracy(results: Sequence[Result], truth: Mapping[JobId, Any]) -> float:
    """The share of jobs of one row whose output is the truth; a job without outputs counts as wrong."""
    if not results:
        return 0.0
    right = sum(result.outputs == [truth[result.id]] for result in results if result.id in truth)
    return right / len(results)


def count(results: Sequence[Result], state: State) -> int:
    return sum(result.state is state for result in results)


def tables(figures: Figures) -> list[Table]:
    """The figures for people: what happened to the jobs, and how long each stage took."""
    killed = f"pid {figures.killed_process}" if figures.killed_process else "none: the work was over too soon"
    outcome = Table(title=f"{figures.model} version {figures.version}", show_header=False, title_justify="left")
    outcome.add_column(style="bold")
    outcome.add_column()
    for name, value in (
        ("accepted", f"{figures.accepted}"),
        ("succeeded", f"{figures.succeeded}"),
        ("failed", f"{figures.failed}" + (f", without a result {figures.missing}" if figures.missing else "")),
        ("attempts", f"{figures.attempts}, {figures.extra_attempts} of them extra"),
        ("pool process killed", killed),
        ("throughput", f"{figures.throughput:,.0f} jobs/s over {figures.elapsed:.2f} s, the crash included"),
        ("batches", ", ".join(f"{number} of {rows}" for rows, number in figures.batch_rows.items()) + " rows"),
        ("accuracy from feedback", f"{figures.accuracy:.6f} over {figures.feedback} jobs"),
        ("offline accuracy", f"{figures.offline_accuracy:.6f}"),
    ):
        outcome.add_row(name, value)
    stages = Table(
        "stage, milliseconds", *(f"p{share}" for share in PERCENTILES), title="latency", title_justify="left"
    )
    for column in stages.columns[1:]:
        column.justify = "right"
    for kind, latencies in (("all jobs", figures.latency), ("interactive", figures.latency_interactive)):
        for stage, values in latencies.items():
            stages.add_row(f"{stage}, {kind}", *(f"{1000 * seconds:,.1f}" for seconds in values.values()))
    return [outcome, stages]
