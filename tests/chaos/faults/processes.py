"""Processes of inferq that die, end, or freeze."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harness import freeze
from history import Expected
from scene import SUM

from faults.fault import Fault

PRODUCER = Path(__file__).parents[1] / "producing.py"


class PoolProcessKilled(Fault):
    name = "pool process killed"

    def strike(self, scene):
        scene.system.pool_processes(scene.worker)[0].kill()


class WorkerKilled(Fault):
    """Its pool processes die with it; another worker starts."""

    name = "worker killed"

    def strike(self, scene):
        scene.system.kill(scene.worker)
        scene.start_worker()


class WorkerEnded(Fault):
    name = "worker told to end in full flight"

    def strike(self, scene):
        code = scene.system.stop(scene.worker)
        assert code == 0, f"the worker ended with {code}"
        scene.start_worker()


class KeeperKilled(Fault):
    name = "keeper killed"

    def strike(self, scene):
        scene.system.kill(scene.keeper)
        scene.keeper = scene.system.start_keeper()


class ProducerKilled(Fault):
    """What it was told is accepted must be predicted; what was stored and not told must end as well."""

    name = "producer killed in mid-submit"

    def load(self, scene):
        scene.submit(min(scene.pace.jobs, 200))

    def strike(self, scene):
        producer = subprocess.Popen(
            [sys.executable, str(PRODUCER), SUM, str(scene.pace.jobs)],
            env={**os.environ, **scene.system.settings.environment()},
            stdout=subprocess.PIPE,
            text=True,
        )
        accepted = [json.loads(producer.stdout.readline()) for _ in range(3)]
        producer.kill()
        # what is in the pipe was told, too, but for the line that was cut
        accepted += [json.loads(line) for line in producer.stdout if line.endswith("]\n")]
        producer.wait(20)
        scene.history.accept({job_id: Expected([answer]) for chunk in accepted for job_id, answer in chunk})


class PoolProcessFrozen(Fault):
    """Until well after its lease; what it held is given to others, and what it then answers is refused."""

    name = "pool process frozen past its lease"
    outage = True

    def strike(self, scene):
        process = scene.system.pool_processes(scene.worker)[0]
        freeze(scene.system, [process])
        time.sleep(scene.pace.lease + 3 * scene.pace.sweep_interval)
        process.resume()


FAULTS = [PoolProcessKilled, WorkerKilled, WorkerEnded, KeeperKilled, ProducerKilled, PoolProcessFrozen]
