"""What the machine spends, and what it is."""

import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

FSYNCS = 100


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU time so far of the processes and of all they started, those that ended included."""
    total = 0.0
    for root in roots:
        process = psutil.Process(root)
        for member in (process, *process.children(recursive=True)):
            try:
                times = member.cpu_times()
            except psutil.NoSuchProcess:  # its parent has its time now
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def fsync_p50(folder: Path) -> float:
    """Seconds that the disk under `folder` takes to make 4 KiB durable, the median."""
    path = folder / "fsync"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            file.write(b"\0" * 4096)
            started = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(taken)
