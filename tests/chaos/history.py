"""What happened to each accepted job, and whether it may have happened.

Every accepted id must end in one terminal state, with one result, equal to what the model answers offline; what is
terminal stays as it was first seen.
"""

import itertools
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import orjson
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from inferq_core.errors import StoreError, UnknownJob
from inferq_core.states import State

LOOK_SECONDS = 0.1
# Ids that one statement asks for.
CHUNK = 2000
# Of many open jobs, one look takes so many of the oldest, and so many others in turn.
OLDEST, OTHERS = 2000, 4000


@dataclass(frozen=True, slots=True)
class Expected:
    """How a job has to end: with these outputs, or failed with this code."""

    outputs: list | None = None
    code: str | None = None

    def met_by(self, result):
        if self.code is not None:
            return result.state is State.FAILED and result.error_code == self.code
        return result.state is State.SUCCEEDED and result.outputs == self.outputs


@dataclass(frozen=True)
class Verdict:
    """Ids, by what is wrong with them; all empty when nothing is."""

    lost: list = field(default_factory=list)  # no terminal state
    doubled: list = field(default_factory=list)  # more than one result, or a result beside a job that is still open
    changed: list = field(default_factory=list)  # a terminal state or a result was seen to change
    wrong: list = field(default_factory=list)  # ended otherwise than the offline answer says

    @property
    def clean(self):
        return not (self.lost or self.doubled or self.changed or self.wrong)

    def __str__(self):
        return ", ".join(f"{len(ids)} {name} {ids[:3]}" for name, ids in vars(self).items() if ids) or "clean"


class History:
    """Watches the jobs in a thread of its own, from their acceptance on."""

    def __init__(self, store, store_url):
        self._store = store
        self._engine = create_engine(store_url, poolclass=NullPool)  # the server may have been restarted
        self._lock = threading.Lock()
        self._expected = {}
        self._open = {}
        self._ended = {}
        self._unsealed = []
        self._turn = itertools.count()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="history", daemon=True)
        self._thread.start()

    def accept(self, expected_by_id):
        with self._lock:
            self._expected.update(expected_by_id)
            self._open.update(dict.fromkeys(expected_by_id))

    def open_ids(self):
        with self._lock:
            return list(self._open)

    def _some_open_ids(self):
        ids = self.open_ids()
        others = ids[OLDEST:]
        turns = -(-len(others) // OTHERS) or 1
        first = next(self._turn) % turns * OTHERS
        return ids[:OLDEST] + others[first : first + OTHERS]

    def __len__(self):
        return len(self._expected)

    def look(self):
        """Sample the states of the jobs that are open, and keep the results of those that are no longer."""
        for ids in _chunks(self._some_open_ids()):
            states = self._store.states(ids)
            ended = [job_id for job_id, state in states.items() if state.terminal]
            results = self._store.results(ended) if ended else {}
            with self._lock:
                for job_id in ended:
                    self._open.pop(job_id, None)
                    if job_id in results:
                        self._ended.setdefault(job_id, _seal(results[job_id]))
                    else:
                        self._unsealed.append(job_id)

    def wait(self, timeout):
        """Until every accepted job has ended; False when that takes longer."""
        deadline = time.monotonic() + timeout
        while self.open_ids():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS / 2)
        return True

    def verdict(self, since=0):
        """Of the jobs accepted after the first `since`, from the store as it is now."""
        found = Verdict()
        found.changed.extend(self._unsealed)  # a terminal state without a result
        for ids in _chunks(list(self._expected)[since:]):
            results = self._store.results(ids)
            states = self._states(ids)
            for job_id in ids:
                state, result = states.get(job_id), results.get(job_id)
                if state is None or not state.terminal or result is None:
                    found.lost.append(job_id)
                    continue
                if self._ended.get(job_id) not in (None, _seal(result)):
                    found.changed.append(job_id)
                if not self._expected[job_id].met_by(result):
                    found.wrong.append(job_id)
        found.doubled.extend(self._doubled())
        return found

    def _states(self, ids):
        try:
            return self._store.states(ids)
        except UnknownJob:
            return {}

    def _doubled(self):
        """Of all jobs of the store, those that were not seen to be accepted included."""
        more_than_one = "SELECT id FROM results GROUP BY id HAVING count(*) > 1"
        still_open = "SELECT p.id FROM pending p JOIN results r ON r.id = p.id"
        with self._engine.connect() as connection:
            return [str(row.id) for query in (more_than_one, still_open) for row in connection.execute(text(query))]

    def republished(self):
        """Jobs that the keeper published again so far, as its log says."""
        query = text("SELECT fields FROM logs WHERE event = 'sweep'")
        with self._engine.connect() as connection:
            return sum(orjson.loads(row.fields).get("republished", 0) for row in connection.execute(query))

    def _watch(self):
        while not self._stopping.wait(LOOK_SECONDS):
            with suppress(StoreError):  # it is away on purpose
                self.look()

    def close(self):
        self._stopping.set()
        self._thread.join(60)
        self._engine.dispose()


def _seal(result):
    """Tells a result from any other that could take its place."""
    return hash(repr((result.state, result.outputs, result.error_code, result.attempt, result.completed_at)))


def _chunks(ids):
    return [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
