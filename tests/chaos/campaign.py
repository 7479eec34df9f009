"""Strikes a scene with one fault after another, and writes down what became of the jobs."""

import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cluster import PostgresCluster
from disk import small_disk
from faults.fault import Unfit
from harness import RedisServer, wait_for
from scene import Scene

from inferq_core.errors import InferqError

# Disk of a SQLite store: for the schema and its log, and for each job.
DISK_MB, DISK_MB_PER_JOB = 96, 0.004
# A strike that met no job in flight is struck again, so often at most.
TRIES = 3


@dataclass(frozen=True)
class Row:
    fault: str
    backend: str
    times: int
    in_flight: int  # jobs accepted and not ended when the fault struck, over all times
    lost: int
    doubled: int
    longest_recovery_s: float
    problems: tuple[str, ...] = ()
    note: str = ""
    skipped: str | None = None


@contextmanager
def scene_on(backend, folder, redis_binary, pace, total_jobs=0):
    with ExitStack() as stack:
        broker = RedisServer(folder, redis_binary)
        stack.callback(broker.stop)
        cluster = disk = None
        if backend == "postgresql":
            cluster = PostgresCluster()
            stack.callback(cluster.close)
            url = cluster.url
        else:
            disk = stack.enter_context(small_disk(folder / "disk", DISK_MB + round(total_jobs * DISK_MB_PER_JOB)))
            url = f"sqlite:///{(disk or folder) / 'inferq.db'}"
        scene = Scene(folder, broker, url, pace, cluster=cluster, disk=disk)
        stack.callback(scene.close)
        scene.start()
        yield scene


def strike(scene, fault, times):
    """One row of the table."""
    problems, in_flight, longest, struck = [], 0, 0.0, 0
    before = len(scene.history)
    try:
        fault.prepare(scene)
        for _ in range(times):
            struck += 1
            found, recovery = _strike_in_flight(scene, fault, problems)
            in_flight += found
            longest = max(longest, recovery)
    except Unfit as reason:
        return Row(fault.name, scene.backend, 0, 0, 0, 0, 0.0, skipped=str(reason))
    except (AssertionError, InferqError, OSError, subprocess.SubprocessError) as error:
        problems.append(f"{type(error).__name__}: {error}")
    finally:
        fault.clean_up(scene)
    verdict = scene.history.verdict(since=before)
    if not verdict.clean:
        problems.append(str(verdict))
    lost, doubled = len(verdict.lost), len(verdict.doubled) + len(verdict.changed)
    recovery = round(longest, 1)
    return Row(fault.name, scene.backend, struck, in_flight, lost, doubled, recovery, tuple(problems), fault.note)


def _strike_in_flight(scene, fault, problems):
    """Once more when a busy machine came to it so late that all jobs had ended: that proves nothing."""
    for _ in range(TRIES):
        found, recovery = _strike_once(scene, fault, problems)
        if found:
            break
    return found, recovery


def _strike_once(scene, fault, problems):
    fault.load(scene)
    in_flight = len(scene.history.open_ids())
    since = time.monotonic()
    fault.strike(scene)
    if fault.outage:
        since = time.monotonic()
    in_flight = in_flight or len(scene.history.open_ids())
    if not scene.history.wait(scene.pace.patience):
        problems.append(f"{len(scene.history.open_ids())} jobs did not end within {scene.pace.patience:g} s")
    recovery = time.monotonic() - since
    try:
        # also what was stored and never told to anybody
        wait_for(lambda: scene.unfinished() == 0, timeout=scene.pace.patience, what="the rest of the store")
        fault.check(scene)
    except AssertionError as error:
        problems.append(str(error))
    return in_flight, recovery
