"""A small disk of its own, which can be filled without harm to any other."""

import errno
import os
import subprocess
from contextlib import contextmanager

BLOCK = b"\0" * 4096


@contextmanager
def small_disk(folder, megabytes):
    """Mounts a tmpfs; yields None where that is not permitted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "inferq-chaos", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    """Write until nothing more fits; the file to remove afterwards."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(BLOCK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler
