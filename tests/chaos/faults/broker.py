"""The broker dies, forgets, or falls silent. Producers go on submitting all the while."""

import os
import signal
import time

from faults.fault import Fault

# Jobs submitted while the broker is away.
MEANWHILE = 20


def waiting(broker):
    """Messages in the broker."""
    return sum(broker.client.llen(key) for key in broker.client.scan_iter("predictions*"))


class _Emptied(Fault):
    """Takes the messages with it that no worker has fetched."""

    def load(self, scene):
        scene.submit_until_in_flight()
        os.kill(scene.worker.pid, signal.SIGSTOP)
        try:
            while not waiting(scene.broker):  # a worker that asked before it was stopped gets the first ones
                scene.submit()
            self.hurt(scene)
        finally:
            os.kill(scene.worker.pid, signal.SIGCONT)

    def hurt(self, scene):
        raise NotImplementedError


class BrokerKilled(_Emptied):
    """It keeps nothing on disk, so that it comes back empty."""

    name = "broker killed and restarted"
    outage = True

    def hurt(self, scene):
        scene.broker.process.kill()
        scene.broker.process.wait(20)

    def strike(self, scene):
        scene.submit(MEANWHILE)
        scene.broker.start()


class BrokerWiped(_Emptied):
    name = "broker wiped"

    def hurt(self, scene):
        scene.broker.client.flushall()

    def strike(self, scene):
        """It is done already: what follows is counted as recovery."""


class BrokerPaused(Fault):
    name = "broker silent"
    outage = True

    def strike(self, scene):
        os.kill(scene.broker.process.pid, signal.SIGSTOP)
        try:
            scene.submit(MEANWHILE)
            time.sleep(scene.pace.outage)
        finally:
            os.kill(scene.broker.process.pid, signal.SIGCONT)


FAULTS = [BrokerKilled, BrokerWiped, BrokerPaused]
