"""What batches cost, by model, as the main process sees them end."""

from __future__ import annotations

from inferq_core.policy.cost import Cost

# Pairs of process and model that are remembered; more exist only after thousands of ended processes.
MAX_WARM = 10_000
_UNKNOWN = Cost()


class Costs:
    """Used in the event loop only."""

    def __init__(self) -> None:
        self._costs: dict[str, Cost] = {}
        self._warm: set[tuple[int | None, str]] = set()

    def of(self, model: str) -> Cost:
        return self._costs.get(model, _UNKNOWN)

    def lines(self) -> dict[str, tuple[float, float]]:
        """By model: (seconds per batch, seconds per row)."""
        lines = {model: cost.line() for model, cost in self._costs.items()}
        return {model: line for model, line in lines.items() if line is not None}

    def ended(self, model: str, rows: int, seconds: float, pid: int | None) -> None:
        """A batch of the process `pid` succeeded; its first one of a model also loaded that model."""
        cold = (pid, model) not in self._warm
        if cold:
            if len(self._warm) >= MAX_WARM:
                self._warm.clear()
            self._warm.add((pid, model))
        self._costs[model] = self.of(model).after(rows, seconds, cold=cold)
