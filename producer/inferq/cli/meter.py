"""How far a file is: bars where somebody looks, else a plain line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text
from typer import echo

# Seconds between two plain lines.
LINE_SECONDS = 10.0
REDRAWS_PER_SECOND = 4


class _Count(ProgressColumn):
    """Rows, or how much of the file."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("")
        counted = f"{task.completed:,.0f} of {task.total:,.0f}" if task.fields["rows"] else f"{task.percentage:.0f} %"
        return Text(counted, justify="right")


class _Rate(ProgressColumn):
    """Rows a second, of the last half minute."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(
            "" if speed is None or not task.fields["rows"] else f"{speed:,.0f} rows/s", style="progress.data.speed"
        )


class Meter:
    """Shows one phase after the other, each with a total; use it as a context manager. Writes to stderr.

    `bars`: somebody sees stderr, and nothing else is written to the same screen.
    """

    def __init__(self, *, bars: bool) -> None:
        self._progress = _bars() if bars else None
        self._tasks: dict[str, TaskID] = {}
        self._line_at = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def say(self, line: str) -> None:
        """One line that stays."""
        if self._progress is not None:
            self._progress.console.print(f"inferq: {line}", markup=False, highlight=False, soft_wrap=True)
        else:
            echo(f"inferq: {line}", err=True)

    def reading(self, what: str, done: int, size: int) -> None:
        """Bytes of the file that were read; the phase goes when the next one begins."""
        self._show({what: done}, size, rows=False)
        self._line(f"{what}: {100 * done // max(size, 1)} %")

    def rows(self, total: int, **done: int) -> None:
        """Rows by what was done with them."""
        self._show(done, total, rows=True)
        self._line(f"{', '.join(f'{count:,} {what}' for what, count in done.items())} of {total:,} rows")

    def counting(self, text: str) -> None:
        """How far work is of which nobody knows the end."""
        if self._progress is not None:
            if not self._tasks:
                self._tasks["counting"] = self._progress.add_task(text, total=None, rows=False)
            self._progress.update(self._tasks["counting"], description=text)
        self._line(text)

    def _show(self, done: dict[str, int], total: int, *, rows: bool) -> None:
        if self._progress is None:
            return
        for what in self._tasks.keys() - done.keys():
            self._progress.remove_task(self._tasks.pop(what))
        for what, count in done.items():
            if what not in self._tasks:
                self._tasks[what] = self._progress.add_task(what, total=total, completed=count, rows=rows)
            self._progress.update(self._tasks[what], completed=count)

    def _line(self, text: str) -> None:
        if self._progress is None and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_SECONDS
            echo(f"inferq: {text}", err=True)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        _Count(),
        _Rate(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        refresh_per_second=REDRAWS_PER_SECOND,
        expand=True,
    )
