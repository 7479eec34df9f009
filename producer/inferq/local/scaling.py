"""How a worker's processes followed its backlog: read from the store, shown as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.table import Table

from inferq_core.policy.autoscale import Bounds
from inferq_core.store.contract import Store
from inferq_core.store.records import ScalingDecision

# Seconds to wait for the worker to come back to its minimum: its stable window, and its heartbeat that writes it down.
WATCH_SECONDS = 15.0
LOOK_SECONDS = 0.1
# Seconds within which a heartbeat counts.
BEAT_SECONDS = 10.0


def watch_scaling(store: Store, pid: int, bounds: Bounds) -> Sequence[ScalingDecision]:
    """The decisions of the worker `pid`, once it is back at its minimum, or after a while."""
    names = [beat.name for beat in store.workers(seen_within=BEAT_SECONDS) if beat.pid == pid]
    if not names:
        return []
    deadline = time.monotonic() + WATCH_SECONDS
    while True:
        decisions = store.scaling_decisions(worker=names[0])
        calm = not decisions or decisions[-1].to_processes == bounds.minimum
        if (decisions and calm) or time.monotonic() > deadline:
            return decisions
        time.sleep(LOOK_SECONDS)


def scaling_table(decisions: Sequence[ScalingDecision]) -> Table:
    table = Table("seconds", "processes", "why", "rows waiting or running", title="autoscaling", title_justify="left")
    for decision in decisions:
        inputs = decision.inputs
        rows = sum(inputs[name] for name in ("queued_rows", "buffered_rows", "running_rows"))
        change = f"{decision.from_processes} → {decision.to_processes}"
        table.add_row(f"{decision.at - decisions[0].at:.2f}", change, decision.reason, f"{rows}")
    if not decisions:
        table.add_row("", "no change", "", "")
    return table
