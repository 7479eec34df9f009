"""Group commit: callers that arrive while flushes are under way share the next one. No timer, no thread of its own.

The first caller leads: it flushes what is waiting, its own item included. Whoever arrives while there are as many
leaders as may be waits; when a leader is done it answers those it served and hands the lead to the first of the others.
An idle system therefore adds no delay, and a busy one pays for one transaction per group.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from inferq_core.errors import IdempotencyConflict

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Wake:
    """An event for one waiter that is set at most once at a time; `threading.Event` costs several times as much."""

    __slots__ = ("_lock", "is_set")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.is_set = False

    def set(self) -> None:
        if not self.is_set:
            self.is_set = True
            self._lock.release()

    def wait(self) -> None:
        if not self.is_set:
            self._lock.acquire()


class _Entry(Generic[Item, Answer]):
    """One caller's item. `wake` is set when the entry has its answer, or was `called` to lead."""

    __slots__ = ("answer", "called", "done", "error", "item", "wake")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.wake = _Wake()
        self.done = self.called = False
        self.answer: Answer | None = None
        self.error: Exception | None = None

    def finish(self, answer: Answer | None, error: Exception | None = None) -> None:
        self.answer, self.error, self.done = answer, error, True
        self.wake.set()


class GroupCommit(Generic[Item, Answer]):
    """Turns single items from many threads into groups for `flush`.

    `flush(items)` answers with one value per item, in order, or raises and has done nothing. When it raises
    IdempotencyConflict, which is the fault of one item, the group's items are flushed one by one, so that the others
    go through; any other error is every member's. At most `max_leaders` calls of `flush` are under way at a time.
    """

    def __init__(
        self, flush: Callable[[Sequence[Item]], Sequence[Answer]], *, max_items: int, max_leaders: int = 1
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._max_leaders = max_leaders
        self._lock = threading.Lock()
        # Neither in a group nor called to lead. Empty unless there are as many leaders as may be.
        self._waiting: deque[_Entry[Item, Answer]] = deque()
        self._leaders = 0

    def run(self, item: Item) -> Answer:
        """Flush `item`, together with others where possible. Raises what `flush` raised for it."""
        [answer] = self.run_each([item])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run_each(self, items: Sequence[Item]) -> list[Answer | Exception]:
        """Flush all items, together with those of others: for each its answer, or what `flush` raised for it."""
        entries: list[_Entry[Item, Answer]] = [_Entry(item) for item in items]
        if not entries:
            return []
        with self._lock:
            self._waiting.extend(entries)
            if self._leaders < self._max_leaders:
                self._leaders += 1
                self._call_next()
        try:
            for entry in entries:
                entry.wake.wait()
                if not entry.done:
                    self._lead(entry)
        except BaseException:
            self._leave(entries)
            raise
        return [entry.error or entry.answer for entry in entries]  # type: ignore[misc]  # finish() set one of them

    def _leave(self, entries: Sequence[_Entry[Item, Answer]]) -> None:
        """An interrupt (Ctrl-C): the caller is gone. Its items may go out with the others, but it keeps no lead."""
        with self._lock:
            for entry in entries:
                if entry in self._waiting:
                    self._waiting.remove(entry)
                elif entry.called:
                    entry.called = False
                    self._call_next()

    def _lead(self, entry: _Entry[Item, Answer]) -> None:
        with self._lock:
            entry.called = False
            others = [self._waiting.popleft() for _ in range(min(self._max_items - 1, len(self._waiting)))]
        try:
            self._serve([entry, *others])
        finally:
            unanswered = [other for other in others if not other.done]  # an interrupt came in the middle
            with self._lock:
                self._waiting.extendleft(reversed(unanswered))
                self._call_next()

    def _call_next(self) -> None:
        """Have the first that waits lead in place of whoever led; the lock is held."""
        if self._waiting:
            entry = self._waiting.popleft()
            entry.called = True
            entry.wake.set()
        else:
            self._leaders -= 1

    def _serve(self, group: Sequence[_Entry[Item, Answer]]) -> None:
        try:
            answers = self._flush([entry.item for entry in group])
        except IdempotencyConflict as error:
            if len(group) == 1:
                group[0].finish(None, error)
                return
            for entry in group:
                self._serve([entry])
        except Exception as error:  # noqa: BLE001  # handed to every caller, who raises it
            for entry in group:
                entry.finish(None, error)
        else:
            for entry, answer in zip(group, answers, strict=True):
                entry.finish(answer)
