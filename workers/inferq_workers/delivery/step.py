"""The step of a Celery worker that delivers: they start, stop and end together."""

from __future__ import annotations

import sys
from typing import Any

from celery import bootsteps
from celery.worker import state

from inferq_core.errors import InferqError, SettingsError
from inferq_core.logging import get_logger
from inferq_core.messages import WEBHOOK_QUEUE
from inferq_core.store import open_store
from inferq_workers.delivery.deliverer import Deliverer

log = get_logger(__name__)

# Seconds between two looks at the thread.
WATCH_INTERVAL = 1.0
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3


class Delivering(bootsteps.StartStopStep):
    """Does nothing in workers that serve other queues."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._store: Any = None

    def include_if(self, worker: Any) -> bool:
        return set(worker.app.inferq.queues) == {WEBHOOK_QUEUE}

    def start(self, worker: Any) -> None:
        identity = worker.app.inferq
        store = open_store(identity.settings)
        try:
            deliverer = Deliverer(store, identity.settings, identity.worker)
            deliverer.start()
        except InferqError as error:
            store.close()
            sys.stderr.write(f"inferq: {error}\n")
            raise SystemExit(EXIT_USAGE if isinstance(error, SettingsError) else EXIT_UNAVAILABLE) from error
        self._store, worker.app.deliverer = store, deliverer

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        hub.call_repeatedly(WATCH_INTERVAL, self._check, worker)

    def stop(self, worker: Any) -> None:
        if worker.app.deliverer is not None:
            worker.app.deliverer.stop()
            self._store.close()

    terminate = stop

    def _check(self, worker: Any) -> None:
        if not worker.app.deliverer.is_alive:
            log.error("deliverer_died", advice="it ends, for its supervisor to start another")
            state.should_stop = EXIT_UNAVAILABLE
