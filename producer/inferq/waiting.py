"""Waiting for results: woken by notifications, with the store polled underneath.

A notification may be lost, or never come (RabbitMQ, a job of another client); then polling finds the result later.
Jobs that were submitted while the subscription was alive are *expected*: their notification is waited for before the
store is asked, and kept when it comes before anybody waits. So a client that submits and waits reads no SQL.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from inferq_core.ids import JobId
from inferq_core.notify import ReplyListener
from inferq_core.store.contract import Jobs
from inferq_core.store.records import StoredResult

# Seconds between two polls: the first, and what doubling ends at while nothing arrives.
POLL_FIRST = 0.005
POLL_LAST = 0.5
# Ids that one query asks for. Of more outstanding ids, each poll asks for the next window.
POLL_WINDOW = 1_000
# Seconds after which an expected job is polled all the same.
POLL_EXPECTED = 0.25
# Expected jobs, and results that nobody has asked for yet; of more, the oldest are forgotten, and polled for later.
MAX_EXPECTED = 10_000
MAX_EARLY = 1_000
# A poll that took long is followed by a pause of so many times that, so that large waits leave the store to others.
POLL_REST = 4

Item = TypeVar("Item")


class Wait:
    """One caller's outstanding ids, in the order to poll them, when to do so, and what notifications brought."""

    def __init__(self, ids: Sequence[JobId]) -> None:
        self.outstanding = dict.fromkeys(ids)
        self.arrived: deque[StoredResult] = deque()
        self.ended: deque[JobId] = deque()  # announced without their result
        self.woken = threading.Event()
        self.poll_now = True
        self.poll_at = time.monotonic()
        self._backoff = POLL_FIRST
        self._rest_until = self.poll_at

    def polled(self, seconds: float, *, found: bool) -> None:
        """Note a poll that took `seconds`, and plan the next."""
        now = time.monotonic()
        windows = 1 + len(self.outstanding) // POLL_WINDOW
        self._backoff = POLL_FIRST if found else min(2 * self._backoff, POLL_LAST)
        self._rest_until = now + min(POLL_REST * seconds, POLL_LAST)
        self.poll_at = max(now + max(POLL_FIRST, self._backoff / windows), self._rest_until)

    def hurry(self) -> None:
        """Start the back-off anew: ids came that may end any moment."""
        self._backoff = POLL_FIRST
        self.poll_at = max(min(self.poll_at, time.monotonic() + POLL_FIRST), self._rest_until)

    def take(self, results: Sequence[StoredResult]) -> list[StoredResult]:
        """Those of `results` that are new to this wait."""
        fresh = []
        for result in results:
            if result.id in self.outstanding:
                del self.outstanding[result.id]
                fresh.append(result)
        return fresh

    def window(self) -> list[JobId]:
        """The next ids to poll; they move behind the others, so that each gets its turn."""
        ids = [job_id for job_id, _ in zip(self.outstanding, range(POLL_WINDOW), strict=False)]
        if len(ids) < len(self.outstanding):
            for job_id in ids:
                self.outstanding[job_id] = self.outstanding.pop(job_id)
        return ids


class Expectations:
    """The jobs whose notification will come here, and the results that came before anybody waited. For one lock."""

    def __init__(self) -> None:
        self._ids: OrderedDict[JobId, None] = OrderedDict()
        self._early: OrderedDict[JobId, StoredResult] = OrderedDict()

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._ids

    def add(self, job_id: JobId) -> None:
        self._ids[job_id] = None
        if len(self._ids) > MAX_EXPECTED:
            self._ids.popitem(last=False)

    def arrived(self, results: Sequence[StoredResult], ids: Sequence[str]) -> None:
        """Keep what was expected. What was announced without its result is for the store to tell."""
        for result in results:
            if result.id in self._ids:
                self._early[result.id] = result
                if len(self._early) > MAX_EARLY:
                    self.discard(next(iter(self._early)))
        for job_id in ids:
            self.discard(JobId(job_id))

    def take(self, job_id: JobId) -> StoredResult | None:
        """The result that has arrived; the job is not expected any more then."""
        result = self._early.get(job_id)
        if result is not None:
            self.discard(job_id)
        return result

    def discard(self, job_id: JobId) -> None:
        self._ids.pop(job_id, None)
        self._early.pop(job_id, None)

    def clear(self) -> None:
        self._ids.clear()
        self._early.clear()


class Waiter:
    """Waits for many callers at once over one subscription."""

    def __init__(self, store: Jobs, broker_url: str) -> None:
        self._store = store
        self._listener = ReplyListener(broker_url, self._on_results)
        self._lock = threading.Lock()
        self._waits: set[Wait] = set()
        self._expected = Expectations()
        self._subscribing: threading.Thread | None = None

    @property
    def reply_to(self) -> str | None:
        """What jobs carry so that their results are announced here."""
        return self._listener.reply_to

    def expect(self, job_id: JobId) -> None:
        """A job with this id is about to be submitted, with `reply_to`."""
        if self._listener.is_live:
            with self._lock:
                self._expected.add(job_id)

    def is_expected(self, job_id: JobId) -> bool:
        """It was submitted here, so it exists, and its end will be announced here."""
        with self._lock:
            return job_id in self._expected

    def collect(self, ids: Sequence[JobId], timeout: float | None) -> Iterator[StoredResult]:
        """The results of `ids` (of jobs that exist) as they end, each once.

        Returns when all have ended or `timeout` seconds are over, after at least one look at the store.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        wait = Wait(ids)
        with self.attending(wait):
            self._begin(wait, deadline)
            yield from self._collect(wait, deadline)

    @contextmanager
    def attending(self, wait: Wait) -> Iterator[None]:
        """Notifications reach `wait` inside."""
        with self._lock:
            self._waits.add(wait)
        try:
            yield
        finally:
            with self._lock:
                self._waits.discard(wait)

    def look(self, wait: Wait) -> list[StoredResult]:
        """What has ended since the last look: what was announced and, when it is time to, what a poll finds."""
        found = self._announced(wait)
        if wait.poll_now or time.monotonic() >= wait.poll_at:
            wait.poll_now = False
            started = time.monotonic()
            polled = self.read(wait, wait.window())
            wait.polled(time.monotonic() - started, found=bool(polled))
            found += polled
        return found

    def read(self, wait: Wait, ids: Sequence[JobId]) -> list[StoredResult]:
        """Those of `ids` that have ended, by the store."""
        return wait.take(list(self._store.results(ids).values()))

    def rest(self, wait: Wait, deadline: float | None = None) -> None:
        """Until the next poll, the deadline or until somebody wakes it; look afterwards, so that nothing is missed."""
        pause = None
        if wait.outstanding:
            self._listen()
            until = wait.poll_at if deadline is None else min(wait.poll_at, deadline)
            pause = max(until - time.monotonic(), 0.0)
        wait.woken.wait(pause)
        wait.woken.clear()

    def close(self) -> None:
        if self._subscribing is not None:
            self._subscribing.join()
        self._listener.close()

    def _collect(self, wait: Wait, deadline: float | None) -> Iterator[StoredResult]:
        while True:
            yield from self.look(wait)
            if not wait.outstanding or (deadline is not None and time.monotonic() >= deadline):
                return
            self.rest(wait, deadline)

    def _begin(self, wait: Wait, deadline: float | None) -> None:
        """Take what has arrived, and put off the first poll when all the rest is expected."""
        with self._lock:
            wait.arrived.extend(filter(None, map(self._expected.take, wait.outstanding)))
            arrived = {result.id for result in wait.arrived}
            rest_expected = all(job_id in arrived or job_id in self._expected for job_id in wait.outstanding)
        if rest_expected:
            wait.poll_now = False
            until = time.monotonic() + POLL_EXPECTED
            wait.poll_at = until if deadline is None else min(until, deadline)

    def _announced(self, wait: Wait) -> list[StoredResult]:
        results = wait.take(_drain(wait.arrived))
        ended = [job_id for job_id in _drain(wait.ended) if job_id in wait.outstanding]
        return results + (self.read(wait, ended) if ended else [])

    def _listen(self) -> None:
        """Subscribe when somebody really waits, without waiting for the broker: the polls go on meanwhile."""
        with self._lock:
            if self._subscribing is not None or self._listener.reply_to is None:
                return
            self._subscribing = threading.Thread(target=self._listener.start, name="inferq-subscribe", daemon=True)
            self._subscribing.start()

    def _on_results(self, results: list[StoredResult], ids: list[str]) -> None:
        broken = not results and not ids  # the subscription was, so announcements may be missing
        with self._lock:
            if broken:
                self._expected.clear()
            waits = list(self._waits)
            self._expected.arrived(
                [result for result in results if not any(result.id in wait.outstanding for wait in waits)], ids
            )
        for wait in waits:
            arrived = [result for result in results if result.id in wait.outstanding]
            ended = [JobId(job_id) for job_id in ids if job_id in wait.outstanding]
            wait.arrived.extend(arrived)
            wait.ended.extend(ended)
            wait.poll_now = wait.poll_now or broken
            if arrived or ended or broken:
                wait.woken.set()


def _drain(items: deque[Item]) -> list[Item]:
    return [items.popleft() for _ in range(len(items))]
