"""How a worker waits for a broker that is away: without end, and with an eye on its pool meanwhile.

Celery's own waiting blocks the event loop. Then nothing reads what the pool processes say, no time limit is kept, and
no dead process is replaced, for as long as the broker is away.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.exceptions import WorkerShutdown
from celery.worker import consumer as celery_consumer
from celery.worker.state import maybe_shutdown

from inferq_core.logging import get_logger

log = get_logger(__name__)

# Seconds between tries; doubles from the first to the last.
RETRY_FIRST, RETRY_LAST = 1.0, 10.0
# Seconds between two looks at the pool, and at what the worker was told to do.
LOOK_INTERVAL = 0.5
# Exit code of a worker that the broker refuses.
EXIT_REFUSED = 3


class Reconnecting(celery_consumer.Consumer):
    """Celery's consumer, whose event loop goes on for the pool while there is no broker."""

    def start(self) -> None:
        """Raises WorkerShutdown when the broker refuses this worker: a right, or on RabbitMQ the password, is wrong."""
        try:
            super().start()
        except self.channel_errors as error:
            # Without a traceback: it is somebody's setting that is wrong.
            log.error("broker_refused", broker=self.conninfo.as_uri(), reason=reason(error))  # noqa: TRY400
            raise WorkerShutdown(EXIT_REFUSED) from error

    def ensure_connected(self, conn: Any) -> Any:
        """Connect; wait for as long as it takes. Raises WorkerShutdown or WorkerTerminate when told to end meanwhile.

        The connection for events is tried once: when it fails, Celery starts over, and that waits.
        """
        if self.connection is not None:
            conn.ensure_connection(max_retries=0, reraise_as_library_errors=False)
            return conn
        if not self._reached(conn, RETRY_FIRST):
            began, pause = time.monotonic(), RETRY_FIRST
            with self._pool_looked_after():
                self._wait(pause)
                while not self._reached(conn, pause := min(2 * pause, RETRY_LAST)):
                    self._wait(pause)
            log.warning("broker_back", broker=conn.as_uri(), after_seconds=round(time.monotonic() - began, 1))
        self.first_connection_attempt = False
        return conn

    def _reached(self, conn: Any, pause: float) -> bool:
        try:
            conn.ensure_connection(max_retries=0, reraise_as_library_errors=False)
        except conn.recoverable_connection_errors as error:
            log.warning("broker_away", broker=conn.as_uri(), reason=reason(error), retry_in_seconds=pause)
            return False
        return True

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        loop = self.hub.create_loop()
        while time.monotonic() < end:
            maybe_shutdown()
            try:
                next(loop)
            except StopIteration:
                loop = self.hub.create_loop()
            except self.connection_errors as error:  # somebody could not be told something
                log.debug("while_broker_away", reason=reason(error))
                loop = self.hub.create_loop()
        maybe_shutdown()

    @contextmanager
    def _pool_looked_after(self) -> Iterator[None]:
        """The hub with nothing but the pool on it, and what is on its timer.

        What is left of the last connection must not be polled. Celery registers the pool anew when it has connected,
        and cancels with a connection what came to the timer since it began to connect: our own entries go here, and
        the time limits of what began meanwhile stay out of that.
        """
        hub = self.hub
        hub.reset()
        before, ticks = self._timer_entries(), hub.on_tick
        self.pool.register_with_event_loop(hub)
        hub.call_repeatedly(LOOK_INTERVAL, self.pool.maintain_pool)
        ours = self._timer_entries() - before
        pool_tick = getattr(getattr(self.pool, "_pool", None), "on_poll_start", None)
        hub.on_tick = {pool_tick} if pool_tick else set()
        try:
            yield
        finally:
            hub.on_tick = ticks
            for entry in ours:
                hub.timer.cancel(entry)
            self.timer_entries_before_start = self._timer_entries()

    def _timer_entries(self) -> set[Any]:
        return {scheduled.entry for scheduled in self.hub.timer.queue}


def reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
