"""The page `/inferq`: an overview of queues, batches and workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flower.views import BaseHandler
from tornado.web import authenticated

from inferq_monitoring.overview import Overview

# Seconds for which one reading serves everybody who looks.
SHARED_SECONDS = 1.0
# Batches in the table; the distribution of sizes looks at more.
SHOWN_BATCHES = 25


class Shared:
    """An overview that is read at most once per SHARED_SECONDS, however many people look. Safe for threads."""

    def __init__(self, read: Callable[[], Overview]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._overview: Overview | None = None
        self._read_at = 0.0

    def get(self) -> Overview:
        with self._lock:
            if self._overview is None or time.monotonic() - self._read_at >= SHARED_SECONDS:
                self._overview = self._read()
                self._read_at = time.monotonic()
            return self._overview


class OverviewPage(BaseHandler):
    def initialize(self, shared: Shared) -> None:
        self._shared = shared

    @authenticated
    async def get(self) -> None:
        overview = await self.application.io_loop.run_in_executor(None, self._shared.get)
        self.set_header("Cache-Control", "no-store")
        self.render(
            "inferq.html",
            overview=overview,
            batches=overview.batches[:SHOWN_BATCHES],
            model_of=self._model_of,
            seconds=shown_seconds,
            day=lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d"),
            clock=lambda at: datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S"),
            percent=lambda share: f"{100 * share:.0f}",
        )

    def _model_of(self, batch_id: str) -> str | None:
        """The model, when Flower saw the batch's events: the store keeps it with the jobs."""
        task: Any = self.application.events.state.tasks.get(batch_id)
        return None if task is None else str(task.args).rpartition(", ")[0] or None


def shown_seconds(seconds: float | None) -> str:
    """In the unit that reads best."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004
