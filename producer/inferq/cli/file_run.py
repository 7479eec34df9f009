"""A file on its way: checked as a whole, enqueued ahead of its answers, answered in the order of its rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from inferq.cli.answers import Answers
from inferq.cli.meter import Meter
from inferq.cli.out_file import Tally
from inferq.cli.room import POLL_FIRST, POLL_LAST, SILENCE, Room, look_for_worker
from inferq.cli.row_files import RowFile
from inferq.cli.stop import Stop
from inferq.row_jobs import RefusedRow
from inferq.run import Run
from inferq.sources.rows import Block
from inferq_core.errors import InferqError, Interrupted, InvalidInput, WaitTimeout
from inferq_core.ids import JobId
from inferq_core.signature import CheckedRows
from inferq_core.store.contract import Store
from inferq_core.store.records import StoredResult

# Rows that are enqueued and not answered, at the most, while somebody waits for the answers: enough for many workers,
# and few enough for a small table of unfinished jobs.
ROWS_AHEAD = 50_000

Deliver = Callable[[Sequence[tuple[int, StoredResult]]], None]


class FileRun:
    """One file and the jobs of its rows. Call `prepare` first; `total` is known then."""

    def __init__(self, store: Store, run: Run, file: RowFile, meter: Meter, stop: Stop) -> None:
        self.total = 0
        self._store = store
        self._run = run
        self._file = file
        self._meter = meter
        self._stop = stop
        self._before = self._submitted = 0
        self._room = Room(store, meter, stop)
        self._answers: Answers | None = None

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Let errors say what was done by then and how to go on."""
        try:
            yield
        except InferqError as error:
            error.args = (f"{error}. {self._so_far(mend=isinstance(error, InvalidInput))}",)
            raise

    def prepare(self) -> None:
        """Look at every row before the first is enqueued. Raises InvalidInput for one that does not fit, or none."""
        self._before = self._submitted = self._run.accepted()
        for block in self._blocks():
            self._checked(block)
            self.total += len(block.rows)
            self._meter.reading("checking", self._file.source.read, self._file.source.size)
        if not self.total:
            raise InvalidInput(f"{self._file.source.name} has no rows")
        if self._before:
            self._meter.say(self._continuing())

    def enqueue(self) -> Iterator[Sequence[JobId]]:
        """Enqueue the rows that were not yet; yields the ids of all rows, in order. Reads on as they are taken."""
        number = 0
        for block in self._blocks():
            self._file.source.require_unchanged()
            first, end = number, number + len(block.rows)
            checked = self._checked(block) if end > self._before else []
            while number < end:
                if number < self._before:
                    upto = min(end, self._before)
                else:
                    upto = number + self._submit(number, checked[number - first :])
                    self._submitted = upto
                ids = self._run.ids
                assert ids is not None
                self._show()
                yield [ids.at(row) for row in range(number, upto)]
                number = upto

    def _submit(self, first: int, rows: Sequence[CheckedRows]) -> int:
        """Enqueue as many of the rows as the model's backlog has room for, once it has; how many these were."""
        return self._room.enter(lambda: self._run.submit(first, rows))

    def answer(self, deliver: Deliver, tally: Tally, wait: float | None) -> None:
        """Enqueue, and deliver the results of the rows from number `tally.rows` on, in order.

        Raises WaitTimeout when not all of them ended within `wait` seconds; all rows are enqueued even then.
        """
        deadline = math.inf if wait is None else time.monotonic() + wait
        for _ in self.enqueue():
            self._collect(deliver, tally, deadline, under_way=ROWS_AHEAD)
        self._collect(deliver, tally, deadline, under_way=0)
        if tally.rows < self.total:
            raise WaitTimeout(f"not all rows were answered after {wait:g} s; they go on")

    def _blocks(self) -> Iterator[Block]:
        for block in self._file.reader.blocks():
            self._heed_stop()
            yield block

    def _checked(self, block: Block) -> list[CheckedRows]:
        try:
            return self._run.check(block.rows)
        except RefusedRow as error:
            raise self._file.reader.refused(block.places[error.index], error) from error

    def _collect(self, deliver: Deliver, tally: Tally, deadline: float, *, under_way: int) -> None:
        """Deliver what has ended; while more rows than `under_way` are enqueued and not answered, wait for it."""
        if self._answers is None:
            if self._run.ids is None:
                return
            self._answers = Answers(self._store, self._run.ids, tally.rows)
        answers, pause, silent_since = self._answers, POLL_FIRST, time.monotonic()
        while True:
            taken = answers.take(self._submitted)
            deliver(taken)
            for _, result in taken:
                tally.add(result.state)
            self._show()
            if self._submitted - answers.next <= under_way or time.monotonic() >= deadline:
                return
            if taken:
                pause, silent_since = POLL_FIRST, time.monotonic()
                continue
            self._heed_stop()
            time.sleep(min(pause, max(deadline - time.monotonic(), 0)))
            pause = min(2 * pause, POLL_LAST)
            if time.monotonic() - silent_since >= SILENCE:
                silent_since = math.inf
                assert self._run.ids is not None
                self._store.state(self._run.ids.at(answers.next))  # raises UnknownJob when the job is gone
                look_for_worker(self._store, self._meter)

    def _heed_stop(self) -> None:
        if self._stop.requested:
            raise Interrupted("interrupted")

    def _show(self) -> None:
        answered = {} if self._answers is None else {"answered": self._answers.next}
        self._meter.rows(self.total, submitted=self._submitted, **answered)

    def _continuing(self) -> str:
        name = self._run.request.name
        once_more = "--run NAME" if name is None else "another --run NAME"
        if self._before < self.total:
            return f"continuing: {self._before:,} of its {self.total:,} rows were submitted before"
        return (
            f"all {self.total:,} rows of it were submitted before, from {self._run.begun} on, and are not submitted "
            f"again; {once_more} submits them once more"
        )

    def _so_far(self, *, mend: bool) -> str:
        if not self._submitted:
            return "Nothing was submitted"
        answered = "" if self._answers is None else f", {self._answers.next:,} answered"
        how = "a corrected file is a new one, all its rows are" if mend else "run the same command again to continue"
        return f"{self._submitted:,} of {self.total:,} rows were submitted{answered}; {how}"
