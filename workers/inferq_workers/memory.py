"""What one pool process may take of the host's memory.

RLIMIT_DATA bounds what a process can write to (its heap and private mappings; Linux 4.7 and newer), and not libraries
or reserved addresses, as RLIMIT_AS does: what is asked for beyond it is a MemoryError of whoever asks, and no other
process of the host pays. A process that has once taken most of it is replaced after its batch, so that what a model
keeps, or what lies in pieces, does not fail the jobs of others.
"""

from __future__ import annotations

import resource
from pathlib import Path

from inferq_core.errors import SettingsError

MIB = 1024 * 1024
# Share of the limit after which a process is replaced when its batch has ended.
RENEWED_AT = 0.8
# MiB that a process needs beside what it begins with: connections, a small model, a batch.
ROOM_MIB = 64
# See proc(5); a page that only the process writes to counts here.
STATUS = Path("/proc/self/status")


def limit_memory(mib: int) -> None:
    """Let this process take `mib` MiB at the most."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = mib * MIB if hard == resource.RLIM_INFINITY else min(mib * MIB, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def require_room(mib: int) -> None:
    """Raises SettingsError when processes could do nothing within `mib` MiB, or when this system has no such limit."""
    taken = _taken_mib()
    if mib < taken + ROOM_MIB:
        raise SettingsError(
            f"INFERQ_MEMORY_LIMIT_MIB={mib}: a process begins with {taken} MiB, so give {taken + ROOM_MIB} at "
            "the least, and what the models need"
        )


def renewal_kib(mib: int) -> int:
    """Celery's `worker_max_memory_per_child`."""
    return round(mib * 1024 * RENEWED_AT)


def _taken_mib() -> int:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        raise SettingsError("INFERQ_MEMORY_LIMIT_MIB needs Linux: unset it here") from None
    (kib,) = (int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    return -(-kib // 1024)
