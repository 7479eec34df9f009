"""The pool process: everything it holds, made lazily after the fork.

Models are loaded here and never before the fork: OpenMP thread pools do not survive it, and a bad artifact would kill
the main process.
"""

from __future__ import annotations

from threadpoolctl import threadpool_limits

from inferq_core import tracing
from inferq_core.broker import Publisher
from inferq_core.errors import InferqError
from inferq_core.ids import BatchId
from inferq_core.logging import get_logger
from inferq_core.notify import Notifier
from inferq_core.store import open_store
from inferq_models.catalog import Catalog
from inferq_workers.execution import Executor
from inferq_workers.garbage import spare_collections
from inferq_workers.identity import Identity
from inferq_workers.memory import limit_memory
from inferq_workers.pulse import Pulse

log = get_logger(__name__)


class PoolProcess:
    """One per process; `start` is called by Celery when the process begins, `stop` when it ends in order."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._store = open_store(identity.settings)
        self._publisher = Publisher(identity.settings.broker)
        self._notifier = Notifier(identity.settings.broker)
        self._pulse = Pulse(self._store, identity, on_lost=_lease_lost)
        catalog = Catalog(self._store, identity.settings, identity.worker, computing=identity.board.computing)
        self.executor = Executor(
            self._store,
            catalog,
            self._publisher,
            self._notifier,
            self._pulse,
            identity.settings,
            identity.worker,
        )

    def start(self) -> None:
        if self._identity.settings.memory_limit_mib is not None:
            limit_memory(self._identity.settings.memory_limit_mib)
        # The pool already has a process per core: more threads would only fight each other.
        threadpool_limits(limits=1)
        spare_collections()
        tracing.start("inferq-worker")
        self._pulse.start()

    def stop(self) -> None:
        self._pulse.stop()
        notice = self._identity.board.read()
        if notice is not None:
            self._pulse.record_changes(notice)
        if notice is not None and notice.stopping:
            self._store.worker_stopped(self._identity.worker)
        self._publisher.close()
        self._notifier.close()
        self._store.close()
        tracing.stop()


def _lease_lost(batch_id: BatchId) -> None:
    log.warning("lease_lost", batch_id=batch_id)


_current: PoolProcess | None = None


def begin(identity: Identity) -> None:
    """Make this process's PoolProcess. What fails now is tried again by the first batch: no process stays useless."""
    try:
        executor(identity)
    except InferqError as error:
        log.warning("process_start_failed", reason=str(error))


def end() -> None:
    if _current is not None:
        _current.stop()


def executor(identity: Identity) -> Executor:
    """The executor of this process. Raises StoreError, SettingsError while it cannot be made."""
    global _current  # noqa: PLW0603 - Celery's tasks are reached by name, not by reference
    if _current is None:
        made = PoolProcess(identity)
        made.start()
        _current = made
    return _current.executor
