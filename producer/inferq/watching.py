"""Waiting for an event loop: however many coroutines wait, one thread does it for all of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

from inferq.waiting import POLL_WINDOW, Wait, Waiter
from inferq_core.ids import JobId
from inferq_core.store.contract import Jobs
from inferq_core.store.jobs import unknown_job
from inferq_core.store.records import StoredResult

# How a job's wait ended: with its result, or with why there is none (UnknownJob, a store that is away).
Ending: TypeAlias = StoredResult | Exception
Arrival: TypeAlias = Callable[[JobId, Ending], None]


class Watch:
    """Calls back on the loop when jobs end. Its public methods are the loop's, except `join`."""

    def __init__(self, waiter: Waiter, store: Jobs, loop: asyncio.AbstractEventLoop) -> None:
        self._waiter = waiter
        self._store = store
        self._loop = loop
        self._arrivals: dict[JobId, list[Arrival]] = {}
        # What the loop tells the thread: an id comes (True) or goes (False).
        self._changes: deque[tuple[JobId, bool]] = deque()
        self._wait = Wait([])
        self._stopping = False
        self._thread: threading.Thread | None = None

    def add(self, job_ids: Iterable[JobId], arrival: Arrival) -> None:
        """Call `arrival` once for each of the jobs when it ends; ids that were never issued end with UnknownJob."""
        for job_id in job_ids:
            arrivals = self._arrivals.setdefault(job_id, [])
            arrivals.append(arrival)
            if len(arrivals) == 1:
                self._changes.append((job_id, True))
        if not self._wait.woken.is_set():  # much cheaper than to set it anew for each of thousands
            self._wait.woken.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="inferq-watch", daemon=True)
            self._thread.start()

    def discard(self, job_ids: Iterable[JobId], arrival: Arrival) -> None:
        """Take back what `add` asked for, where it has not happened yet."""
        for job_id in job_ids:
            arrivals = self._arrivals.get(job_id, [])
            if arrival in arrivals:
                arrivals.remove(arrival)
                if not arrivals:
                    del self._arrivals[job_id]
                    self._changes.append((job_id, False))

    def stop(self, reason: Exception) -> None:
        """End all waits with `reason`, and the thread soon."""
        self._fail(reason)
        self._stopping = True
        self._wait.woken.set()

    def join(self) -> None:
        """Wait for the end of the thread, from another one than the loop's."""
        if self._thread is not None:
            self._thread.join()

    def _deliver(self, endings: Mapping[JobId, Ending]) -> None:
        for job_id, ending in endings.items():
            for arrival in self._arrivals.pop(job_id, ()):
                arrival(job_id, ending)

    def _fail(self, reason: Exception) -> None:
        self._changes.extend((job_id, False) for job_id in self._arrivals)
        self._deliver(dict.fromkeys(self._arrivals, reason))

    def _run(self) -> None:
        with self._waiter.attending(self._wait), suppress(RuntimeError):  # the loop was closed: nobody waits any more
            while not self._stopping:
                try:
                    endings = self._endings()
                except Exception as error:  # noqa: BLE001  # handed to all who wait, as each would have met it
                    self._wait.outstanding.clear()
                    self._loop.call_soon_threadsafe(self._fail, error)
                else:
                    if endings:
                        self._loop.call_soon_threadsafe(self._deliver, endings)
                self._waiter.rest(self._wait)

    def _endings(self) -> dict[JobId, Ending]:
        endings = self._first_look(self._enter())
        endings.update((result.id, result) for result in self._waiter.look(self._wait))
        return endings

    def _enter(self) -> list[JobId]:
        """Bring `outstanding` up to date; the ids that came. Notifications reach them from here on."""
        entered: dict[JobId, None] = {}
        for _ in range(len(self._changes)):
            job_id, comes = self._changes.popleft()
            if comes:
                self._wait.outstanding[job_id] = entered[job_id] = None
            else:
                self._wait.outstanding.pop(job_id, None)
                entered.pop(job_id, None)
        return list(entered)

    def _first_look(self, entered: Sequence[JobId]) -> dict[JobId, Ending]:
        endings: dict[JobId, Ending] = {}
        if not entered:
            return endings
        started = time.monotonic()
        are_all = len(entered) == len(self._wait.outstanding)
        for start in range(0, len(entered), POLL_WINDOW):
            endings.update(self._first_look_at(entered[start : start + POLL_WINDOW]))
        if are_all:
            self._wait.polled(time.monotonic() - started, found=True)
        else:
            self._wait.hurry()
        return endings

    def _first_look_at(self, window: Sequence[JobId]) -> dict[JobId, Ending]:
        endings: dict[JobId, Ending] = {result.id: result for result in self._waiter.read(self._wait, window)}
        unfinished = [job_id for job_id in window if job_id not in endings]
        known = self._store.states(unfinished)
        for job_id in unfinished:
            if job_id not in known:
                del self._wait.outstanding[job_id]
                endings[job_id] = unknown_job(job_id)
        return endings
