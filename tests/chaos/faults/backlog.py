"""Many jobs wait while every worker is away and the keeper watches over them."""

import time

from faults.fault import Fault

# Jobs that one call submits, for memory's sake.
CHUNK = 20_000
MAX_DUPLICATES = 0.01
# Fewer may all be fetched at once, and taken for lost until the worker's next heartbeat says that it holds them.
MANY = 50_000


class WorkersAway(Fault):
    """Messages that only wait stand for their jobs: hardly any may be published again."""

    name = "workers away, jobs queued"
    outage = True

    def load(self, scene):
        code = scene.system.stop(scene.worker)
        assert code == 0, f"the worker ended with {code}"
        self._before = scene.history.republished()
        left = scene.pace.queued
        while left > 0:
            scene.submit(min(left, CHUNK))
            left -= CHUNK

    def strike(self, scene):
        time.sleep(scene.pace.stopped)
        scene.start_worker()

    def check(self, scene):
        share = (scene.history.republished() - self._before) / scene.pace.queued
        self.note = f"{share:.2%} published twice"
        assert share < MAX_DUPLICATES or scene.pace.queued < MANY, self.note


FAULTS = [WorkersAway]
