"""How many messages wait in the broker: asked by a thread of its own, because the event loop must never wait."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

from inferq_core.broker import Publisher
from inferq_core.errors import BrokerUnavailable
from inferq_core.logging import get_logger

log = get_logger(__name__)

# Seconds between two questions; each is one round trip per queue.
INTERVAL = 0.25
# Seconds for which an answer is believed.
BELIEVE_SECONDS = 3.0


class DepthWatch:
    """Messages in the queues, all priorities together. Has a connection of its own."""

    def __init__(self, publisher: Publisher, queues: Sequence[str]) -> None:
        self._publisher = publisher
        self._queues = queues
        self._answer: tuple[float, int] | None = None
        self._asking = threading.Lock()
        # A child forked while this thread is inside of redis-py would inherit a lock that nobody releases there, and
        # hang in it: kombu disconnects what it inherited, in a hook of multiprocessing.
        os.register_at_fork(
            before=self._asking.acquire, after_in_parent=self._asking.release, after_in_child=self._asking.release
        )
        self._thread = threading.Thread(target=self._run, name="inferq-depth", daemon=True)

    def messages(self) -> int | None:
        """Starts the thread when called first. None before the first answer, and while the broker does not answer."""
        if self._thread.ident is None:
            self._thread.start()
        answer = self._answer
        if answer is None or answer[0] < time.monotonic() - BELIEVE_SECONDS:
            return None
        return answer[1]

    def _run(self) -> None:
        while True:
            try:
                with self._asking:
                    depth = sum(self._publisher.depth(name) for name in self._queues)
                self._answer = (time.monotonic(), depth)
            except BrokerUnavailable as error:
                log.warning("depth_unknown", reason=str(error))
            time.sleep(INTERVAL)
