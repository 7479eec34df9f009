"""Who this worker is: made once in its main process, before the pool forks."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from inferq_core.settings import Settings
from inferq_core.store import open_store
from inferq_workers.board import Board


@dataclass(frozen=True, slots=True)
class Identity:
    worker: str  # unique among all workers, and over restarts
    host: str
    queues: Sequence[str]
    store_id: str
    settings: Settings
    board: Board


def identify(settings: Settings, queues: Sequence[str]) -> Identity:
    """The worker that consumes from `queues`; reads the store's id over a connection that is closed again.

    Raises StoreUnavailable, StoreMismatch, SchemaOutdated.
    """
    host = socket.gethostname()
    store = open_store(settings)
    try:
        store_id = store.store_id
    finally:
        store.close()
    # A container that restarts has the host name and the pid of the one before.
    return Identity(f"{host}:{os.getpid()}:{secrets.token_hex(4)}", host, tuple(queues), store_id, settings, Board())
