"""Broker, worker, keeper and Flower on this machine, started in order and stopped in the opposite one."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self

from inferq.local import pages
from inferq.local.embedded import EmbeddedBroker
from inferq.local.process import ChildProcess, StartFailed
from inferq_core.broker import Publisher
from inferq_core.errors import InferqError, SchemaOutdated, SettingsError
from inferq_core.policy.autoscale import Bounds
from inferq_core.settings import Settings, redact
from inferq_core.signin import flower_address, flower_sign_in
from inferq_core.store import open_store
from inferq_core.store.contract import Store

# Seconds. A worker reports itself with its first heartbeat; stopping it waits for the batches that run.
WORKER_START_SECONDS = 60.0
FLOWER_START_SECONDS = 60.0
STOP_SECONDS = 15.0
# Seconds between two looks at whether all processes run.
WATCH_SECONDS = 0.5
# Seconds within which a heartbeat counts, while waiting for the first.
BEAT_SECONDS = 10.0


class LocalSystem:
    """A running system, as a context manager. With `INFERQ_BROKER_URL` set no broker is started."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None], *, flower: bool = False, autoscale: Bounds | None = None
    ) -> None:
        self.settings = pages.with_free_port(settings) if flower else settings
        self._flower = flower
        self._worker_options = ["--autoscale", str(autoscale)] if autoscale else []
        self._say = say
        self._home = settings.make_home()
        self._broker: EmbeddedBroker | None = None
        self._store: Store | None = None
        self._children: list[ChildProcess] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def store(self) -> Store:
        assert self._store is not None
        return self._store

    @property
    def worker(self) -> ChildProcess:
        return self._children[0]

    def check(self) -> None:
        """Raises InferqError, with the end of its log, when one of the processes has ended."""
        running = [*self._children, *([self._broker.process] if self._broker else [])]
        for child in running:
            if child.exit_code is not None:
                raise InferqError(
                    f"the {child.name} ended with code {child.exit_code}; {child.log} ends with:\n{child.tail()}"
                )

    def watch(self) -> NoReturn:
        """Return never; raises InferqError when one of the processes ends."""
        while True:
            self.check()
            time.sleep(WATCH_SECONDS)

    def stop(self) -> None:
        """Worker, keeper, broker: what holds work first, what it depends on last."""
        for child in self._children:
            if not child.stop(grace=STOP_SECONDS):
                self._say(f"the {child.name} did not stop within {STOP_SECONDS:g} s and was killed")
        self._children.clear()
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def _start(self) -> None:
        if importlib.util.find_spec("celery") is None:
            raise SettingsError("a worker needs more than this installation has: pip install 'inferq[worker]'")
        self._store = open_migrated(self.settings, self._say)
        if self.settings.embedded_broker:
            self._broker = EmbeddedBroker(self.settings)
        else:
            with contextlib.closing(Publisher(self.settings.broker)) as publisher:
                publisher.ping()
        self._say(f"broker  {redact(self.settings.broker)}{' (embedded)' if self._broker else ''}")
        self._say(f"store   {redact(self.settings.store)}")
        worker = self._spawn("worker", *self._worker_options)
        keeper = self._spawn("keeper")
        flower = None
        if self._flower and pages.installed():
            # Here, so that a new password is shown in the terminal and in no log.
            sign_in = flower_sign_in(self.settings)
            flower = self._spawn("flower")
        worker.wait_ready(lambda: self._has_beat(worker.pid), timeout=WORKER_START_SECONDS)
        if keeper.exit_code is not None:
            raise StartFailed(
                f"the keeper ended with code {keeper.exit_code}; {keeper.log} ends with:\n{keeper.tail()}"
            )
        self._say(f"worker  pid {worker.pid}, keeper  pid {keeper.pid}, logs in {worker.log.parent}")
        if flower is not None:
            flower.wait_ready(lambda: pages.answer(self.settings), timeout=FLOWER_START_SECONDS)
            self._say(f"flower  {flower_address(self.settings)}, {sign_in.describe()}")
        elif self._flower:
            self._say("flower  not installed: pip install 'inferq[flower]'")

    def _spawn(self, role: str, *options: str) -> ChildProcess:
        child = ChildProcess(
            role,
            [sys.executable, "-m", "inferq_workers", role, *options],
            log=self._home / "logs" / f"{role}.log",
            environment=self.settings.environment(),
        )
        self._children.append(child)
        return child

    def _has_beat(self, pid: int) -> bool:
        return any(beat.pid == pid for beat in self.store.workers(seen_within=BEAT_SECONDS))


def open_migrated(settings: Settings, say: Callable[[str], None]) -> Store:
    """The store, its schema brought up to date where that is needed. Raises StoreUnavailable, StoreMismatch."""
    store = open_store(settings)
    try:
        store.store_id  # noqa: B018  # asks the database
    except SchemaOutdated:
        from inferq_migrations import upgrade  # noqa: PLC0415  # alembic is slow to import

        say(f"store   migrating {redact(settings.store)}")
        upgrade(settings.store)
    except BaseException:
        store.close()
        raise
    return store
