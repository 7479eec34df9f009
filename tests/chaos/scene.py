"""A whole inferq that faults strike: its processes, its load, and the history of every job."""

from dataclasses import dataclass

import numpy as np
from checks import register_model
from harness import System, wait_for
from history import Expected, History
from misbehaving import POISON, Slow

from inferq_core.states import State

FEATURES = 4
SUM = "sum"


@dataclass(frozen=True)
class Pace:
    """How long things take (seconds), and how much there is to do.

    `outage`: of a broker or store that is silent. `locked`: of a SQLite store that is locked or full. `jobs`: per
    strike. `queued`, `stopped`: jobs that wait for workers which are away, and for how long these are.
    """

    lease: float
    sweep_interval: float
    orphan_after: float
    outage: float
    locked: float
    jobs: int
    queued: int
    stopped: float
    patience: float

    def settings(self):
        return {"lease": self.lease, "sweep_interval": self.sweep_interval, "orphan_after": self.orphan_after}


def quick():
    """Short leases and short outages."""
    return Pace(3.0, 0.5, 2.0, outage=3.0, locked=3.0, jobs=300, queued=2000, stopped=6.0, patience=60.0)


def real(jobs, queued, stopped):
    """The settings that inferq has by default, and outages that last."""
    patience = 300.0 + (jobs + queued) / 100
    return Pace(20.0, 5.0, 10.0, outage=30.0, locked=10.0, jobs=jobs, queued=queued, stopped=stopped, patience=patience)


class Scene:
    def __init__(self, folder, broker, store_url, pace, *, cluster=None, disk=None):
        self.pace = pace
        self.cluster = cluster
        self.disk = disk
        self.broker = broker
        self.system = System(folder, broker, store_url, **pace.settings())
        self.history = History(self.system.store, self.system.settings.store)
        self.backend = "postgresql" if cluster else "sqlite"
        self._models = set()
        self._made = {}
        self._next_row = 0

    def start(self):
        """Keeper, worker, and the model that most jobs are for."""
        self.model(SUM, Slow(0.05), max_batch_rows=32)
        self.keeper = self.system.start_keeper()
        self.start_worker()

    def start_worker(self):
        self.worker = self.system.start_worker()
        wait_for(lambda: self.system.store.workers(seen_within=10), timeout=90, what="the worker's heartbeat")

    def model(self, name, estimator, **options):
        if name not in self._models:
            register_model(self.system, name, estimator, **options)
            self._models.add(name)

    def once(self, kind):
        """What several faults share: `kind(scene)`, closed with the scene."""
        if kind not in self._made:
            self._made[kind] = kind(self)
        return self._made[kind]

    def rows(self, count):
        """Rows that were never submitted before; the sum of each tells it from all others."""
        first, self._next_row = self._next_row, self._next_row + count
        return np.arange(first * FEATURES, (first + count) * FEATURES, dtype=float).reshape(count, FEATURES)

    def submit(self, count=None, model=SUM, *, poison=(), code=None, singly=False):
        """Accepted jobs, known to the history. Those at the positions `poison` are to fail with `code`."""
        rows = self.rows(self.pace.jobs if count is None else count)
        rows[list(poison), 0] = POISON
        if singly:
            jobs = [self.system.client.submit(model, row[None, :]) for row in rows]
        else:
            jobs = self.system.client.submit_many(model, rows)
        fate = {index: Expected(code=code) for index in poison}
        self.history.accept(
            {job.id: fate.get(index) or Expected([float(rows[index].sum())]) for index, job in enumerate(jobs)}
        )
        return jobs

    def submit_until_in_flight(self):
        """Load, at a moment at which a batch of it is being predicted and at least half of it has not ended."""
        while True:
            jobs = self.submit()
            if wait_for(lambda jobs=jobs: self._moment(jobs), timeout=90, what="a batch in flight") == "in flight":
                return

    def _moment(self, jobs):
        states = list(self.system.states(jobs).values())
        ended = sum(state.terminal for state in states)
        if State.RUNNING in states and 2 * ended <= len(states):
            return "in flight"
        return 2 * ended > len(states) and "too late"

    def unfinished(self):
        """Jobs of the whole store that have not ended."""
        return sum(count for (_, state), count in self.system.store.counts().items() if not state.terminal)

    def close(self):
        self.history.close()
        for made in self._made.values():
            made.close()
        self.system.close()
