"""What a batch costs, learned from the batches that ended: pure, no clock.

Seconds of a batch are `fixed + per_row · rows`, per model, by least squares over recent batches with exponentially
falling weights (the recursive form of weighted linear regression). The fixed part is what makes a large batch cheaper
per row than many small ones: a trickle of single rows must not make a burst look hundreds of times its price.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# Weight that all earlier batches keep when one more is seen: the last 20 or so count.
DECAY = 0.95
# Below this share of the mean square, row counts do not differ enough to tell a fixed part from a part per row.
MIN_SPREAD = 1e-3
# How far beyond the largest recent batch the line is believed.
REACH = 2


@dataclass(frozen=True, slots=True)
class Cost:
    """Weighted sums over the batches of one model; `cold` while only batches that loaded the model were seen."""

    weight: float = 0.0
    rows: float = 0.0
    seconds: float = 0.0
    rows_rows: float = 0.0
    rows_seconds: float = 0.0
    largest: float = 0.0  # rows; fades like the sums
    cold: bool = True

    def after(self, rows: int, seconds: float, *, cold: bool = False) -> Cost:
        """The cost after one more batch.

        A `cold` batch is the first in its process: it also loaded the model. It counts as long as there is nothing
        better, and is forgotten when the first warm batch ends.
        """
        if cold and not self.cold:
            return self
        old = Cost() if self.cold and not cold else self
        return replace(
            old,
            weight=DECAY * old.weight + 1.0,
            rows=DECAY * old.rows + rows,
            seconds=DECAY * old.seconds + seconds,
            rows_rows=DECAY * old.rows_rows + rows * rows,
            rows_seconds=DECAY * old.rows_seconds + rows * seconds,
            largest=max(DECAY * old.largest, rows),
            cold=cold,
        )

    def line(self) -> tuple[float, float] | None:
        """(seconds per batch, seconds per row), neither negative; None before the first batch."""
        if not self.weight or not self.rows:
            return None
        mean_rows, mean_seconds = self.rows / self.weight, self.seconds / self.weight
        spread = self._spread
        if spread <= MIN_SPREAD * mean_rows**2:
            return 0.0, mean_seconds / mean_rows
        per_row = (self.rows_seconds / self.weight - mean_rows * mean_seconds) / spread
        fixed = mean_seconds - per_row * mean_rows
        if per_row < 0.0:
            return mean_seconds, 0.0
        if fixed < 0.0:
            return 0.0, self.rows_seconds / self.rows_rows
        return fixed, per_row

    def seconds_for(self, rows: int, batch_rows: int) -> float | None:
        """Seconds of one process for `rows` rows in batches of at most `batch_rows`; None before the first batch."""
        line = self.line()
        if line is None:
            return None
        fixed, per_row = line
        return math.ceil(rows / batch_rows) * fixed + rows * per_row

    def rows_within(self, seconds: float, least: int = 1) -> int | None:
        """Rows of a batch that takes `seconds` at the most; None before the first batch. It may be 0.

        `least`: rows that a batch has in any case.

        Batches of one size do not tell a fixed part from a part per row. If nearly all of the fixed part were taken
        for a part per row, they would stay small for ever, so one that differs is asked for then: half of them, which
        costs no more, or else one step up, which may cost twice as much once in dozens of batches.
        """
        line = self.line()
        if line is None:
            return None
        fixed, per_row = line
        left = max(seconds - fixed, 0.0)
        fits = left / per_row if per_row else (math.inf if left else 0.0)
        usual, took = self.rows / self.weight, self.seconds / self.weight
        if self._spread <= MIN_SPREAD * usual**2 and usual / 2 <= fits < 2 * usual:
            if usual / 2 >= least:
                return int(usual / 2)
            if took <= seconds:
                return round(usual) + least
        return int(min(fits, REACH * self.largest))

    @property
    def _spread(self) -> float:
        """How much row counts differ: their variance."""
        return self.rows_rows / self.weight - (self.rows / self.weight) ** 2


@dataclass(frozen=True, slots=True)
class Mix:
    """What recent messages held: rows and messages of each kind, with the same falling weights."""

    messages: float = 0.0
    rows: tuple[tuple[str, float], ...] = ()

    def after(self, model: str, rows: int) -> Mix:
        """The mix after one more message."""
        faded = {name: DECAY * count for name, count in self.rows}
        faded[model] = faded.get(model, 0.0) + rows
        kept = tuple((name, count) for name, count in faded.items() if count > MIN_SPREAD)
        return Mix(DECAY * self.messages + 1.0, kept)

    @property
    def rows_per_message(self) -> float:
        """1 before the first message."""
        return sum(count for _, count in self.rows) / self.messages if self.messages else 1.0

    def shares(self) -> dict[str, float]:
        """The share of each model in the rows; they add up to 1, or are empty before the first message."""
        total = sum(count for _, count in self.rows)
        return {name: count / total for name, count in self.rows} if total else {}
