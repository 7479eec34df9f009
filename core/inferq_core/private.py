"""Files that are nobody else's business: passwords, and pickles that a process of ours will load."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from inferq_core.errors import SettingsError


def private_folder(path: Path) -> Path:
    """Make the folder (mode 0700), or make sure that it is one.

    Raises SettingsError when it belongs to somebody else, is open to others, or cannot be made. An open one is not
    closed here: what others may have put into it must be looked at first.
    """
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.lstat()
    except OSError as error:
        raise SettingsError(f"{path} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise SettingsError(f"{path} is no folder: move it away")
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise SettingsError(f"{path} must belong to this user with mode 0700: remove it, it is made again")
    return path


def write_once(path: Path, text: str) -> bool:
    """Make a file with mode 0600; False when it is there already. Readers see it whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
