"""Who types, for rows of the log about what was changed."""

from __future__ import annotations

import getpass
import os
import socket


def person() -> str:
    """user@host, as far as this machine knows the user."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
