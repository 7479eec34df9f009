"""A figure: pairs of measurements, and whether they meet its bar."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# A bar is met when the median of the pairs reaches it, and this share of them reaches NEAR of it.
SHARE = 0.8
NEAR = 0.9


@dataclass(frozen=True)
class Pair:
    """One measurement of each side, one right after the other. `theirs` is None where there is no other side."""

    ours: float
    theirs: float | None = None
    cpu_us: tuple[float, float] | None = None  # CPU microseconds per job over all processes, servers included

    @property
    def value(self) -> float:
        """What is held against the bar."""
        return self.ours if self.theirs is None else self.ours / self.theirs


@dataclass(frozen=True)
class Figure:
    name: str
    backend: str
    unit: str
    bar: float
    pairs: Sequence[Pair]
    at_most: bool = False  # smaller is better

    @property
    def value(self) -> float:
        return statistics.median(pair.value for pair in self.pairs)

    @property
    def met(self) -> bool:
        near = sum(self._reaches(pair.value, NEAR) for pair in self.pairs)
        return self._reaches(self.value, 1.0) and near >= SHARE * len(self.pairs)

    def _reaches(self, value: float, share: float) -> bool:
        return value <= self.bar / share if self.at_most else value >= self.bar * share

    def as_json(self) -> dict[str, Any]:
        theirs = [pair.theirs for pair in self.pairs if pair.theirs is not None]
        costs = [pair.cpu_us for pair in self.pairs if pair.cpu_us is not None]
        return {
            "name": self.name,
            "backend": self.backend,
            "unit": self.unit,
            "ours": statistics.median(pair.ours for pair in self.pairs),
            "theirs": statistics.median(theirs) if theirs else None,
            "ratio": self.value,
            "ratios": [pair.value for pair in self.pairs],
            "bar": self.bar,
            "at_most": self.at_most,
            "met": self.met,
            "cpu_us_per_job": [statistics.median(side) for side in zip(*costs, strict=True)] if costs else None,
        }
