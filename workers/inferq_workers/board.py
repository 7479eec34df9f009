"""What a worker's main process tells its pool processes, through a page of shared memory.

The main process holds no database connection; the pool processes write the worker's heartbeat, and need to know which
messages the main process has received and buffers. The page is mapped before the pool forks, so that replaced processes
see it as well. There is one writer; a checksum tells readers of a half-written value.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from billiard.process import current_process

SIZE = 1 << 16
_HEAD = struct.Struct("<II")
_SLOT = struct.Struct("<I")
# A reader that meets a half-written value looks again this often; writing takes microseconds.
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Change:
    """A scaling decision that was followed; `at` by the clock `time.monotonic`, which all processes of a host share."""

    id: str
    before: int
    after: int
    reason: str
    inputs: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Notice:
    """The main process's state. `marks`, `oldest`, `buffered` and `costs` as in `WorkerBeat`."""

    worker: str = ""
    pid: int = 0
    concurrency: int = 0
    stopping: bool = False
    marks: Mapping[tuple[str, int], float] = field(default_factory=dict)
    buffered: Mapping[str, int] = field(default_factory=dict)
    changes: Sequence[Change] = ()  # the newest ones
    oldest: Mapping[tuple[str, int], float] = field(default_factory=dict)
    costs: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Board:
    """Shared memory: a page with the newest Notice, and a slot per pool process that says whether it is computing."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, SIZE)
        self._slots = mmap.mmap(-1, SIZE)
        self.write(Notice())

    @contextmanager
    def computing(self) -> Iterator[None]:
        """In a pool process: what takes time now is the model, not the store."""
        slot = _SLOT.size * (getattr(current_process(), "index", 0) % (SIZE // _SLOT.size))
        self._slots[slot : slot + _SLOT.size] = _SLOT.pack(os.getpid())
        try:
            yield
        finally:
            self._slots[slot : slot + _SLOT.size] = _SLOT.pack(0)

    def is_computing(self, pid: int | None) -> bool:
        """Whether that pool process computes, or did when it died."""
        return any(holder == pid for (holder,) in _SLOT.iter_unpack(self._slots[:]))

    def write(self, notice: Notice) -> None:
        """Replace the notice. What does not fit is left out: costs, changes, marks (the oldest first), queues."""
        marks = [(*key, at, notice.oldest.get(key)) for key, at in notice.marks.items()]
        marks.sort(key=lambda mark: -mark[2])
        changes = list(notice.changes)
        buffered = list(notice.buffered.items())
        costs = list(notice.costs.items())
        state = [notice.worker, notice.pid, notice.concurrency, notice.stopping]
        while len(data := orjson.dumps([*state, dict(buffered), marks, changes, dict(costs)])) + _HEAD.size > SIZE:
            if costs:
                costs = costs[: len(costs) // 2]
            elif changes:
                changes = changes[(len(changes) + 1) // 2 :]
            elif marks:
                marks = marks[: len(marks) // 2]
            else:
                buffered = buffered[: len(buffered) // 2]
        self._page[_HEAD.size : _HEAD.size + len(data)] = data
        self._page[: _HEAD.size] = _HEAD.pack(len(data), zlib.crc32(data))

    def read(self) -> Notice | None:
        """The newest notice, or None when the writer stopped in the middle of writing."""
        for _ in range(_TRIES):
            length, checksum = _HEAD.unpack(self._page[: _HEAD.size])
            data = self._page[_HEAD.size : _HEAD.size + length]
            if zlib.crc32(data) == checksum:
                return _parse(data)
            time.sleep(0.001)
        return None


def _parse(data: bytes) -> Notice:
    worker, pid, concurrency, stopping, buffered, marks, changes, costs = orjson.loads(data)
    newest: dict[tuple[str, int], Any] = {(queue, priority): at for queue, priority, at, _ in marks}
    oldest = {(queue, priority): at for queue, priority, _, at in marks if at is not None}
    made = tuple(Change(**change) for change in changes)
    learned = {model: (fixed, per_row) for model, (fixed, per_row) in costs.items()}
    return Notice(worker, pid, concurrency, stopping, newest, buffered, made, oldest, learned)
