"""The processes of this machine: from /proc where there is one, else from ps (macOS)."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    group: int
    state: str  # ps(1): R on a core or about to be, Z ended and not yet asked about, …

    @property
    def busy(self) -> bool:
        return self.state.startswith("R")

    @property
    def alive(self) -> bool:
        return not self.state.startswith(("Z", "X"))


def children_of(parent: int) -> list[Process]:
    """The direct children of a process."""
    return [process for process in _listed() if process.parent == parent]


def members_of(group: int) -> list[Process]:
    """Those of a process group that have not ended."""
    return [process for process in _listed() if process.group == group and process.alive]


def _listed() -> list[Process]:
    return _from_proc() if Path("/proc/self/stat").exists() else _from_ps()


def _from_proc() -> list[Process]:
    processes = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # proc(5): pid (command) state ppid pgrp …; the command may hold spaces and brackets.
                state, parent, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            processes.append(Process(int(folder.name), int(parent), int(group), state))
    return processes


def _from_ps() -> list[Process]:
    command = ["ps", "-A", "-o", "pid=,ppid=,pgid=,state="]
    listing = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - the command is ours
    rows = (line.split() for line in listing.stdout.splitlines())
    return [Process(int(pid), int(parent), int(group), state) for pid, parent, group, state in rows]
