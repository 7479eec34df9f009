"""The parts of inferq on this machine: started in order, kept running, stopped in the opposite order."""

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
from inferq.local.home import HomeLock
from inferq.local.interrupts import Interrupts
from inferq.local.listing import children_of
from inferq.local.process import ChildProcess
from inferq.local.supervised import Supervised
from inferq_core.broker import Publisher
from inferq_core.errors import SchemaOutdated, SettingsError, StoreError
from inferq_core.policy.autoscale import Bounds
from inferq_core.settings import Settings, redact
from inferq_core.signin import flower_address, flower_sign_in
from inferq_core.store import open_store
from inferq_core.store.contract import Store

# Seconds until a process does its work, the first time.
START_SECONDS = 60.0
# Seconds that keeper, deliverer and Flower have to end; the worker has the time that a batch may take.
STOP_SECONDS = 15.0
# Seconds between two looks at whether all processes run.
WATCH_SECONDS = 0.2
# Seconds within which a heartbeat counts, while waiting for the first.
BEAT_SECONDS = 10.0


class LocalSystem:
    """A running system, as a context manager. With `INFERQ_BROKER_URL` set no broker is started.

    While it runs, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, which stops it in order; a
    second Ctrl-C stops it at once. Whoever holds it calls `tend` often: that starts again what ended.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        *,
        flower: bool = False,
        deliverer: bool = False,
        autoscale: Bounds | None = None,
    ) -> None:
        self.settings = settings
        self._delivers = deliverer
        self._flower = flower
        self._worker_options = ["--autoscale", str(autoscale)] if autoscale else []
        self._print = say
        self._home = settings.make_home()
        self._interrupts = Interrupts(self._end_at_once)
        self._is_ending_at_once = False
        self._lock: HomeLock | None = None
        self._broker: EmbeddedBroker | None = None
        self._store: Store | None = None
        # By role, in the order in which they are stopped; the newest process of each.
        self._children: dict[str, ChildProcess] = {}
        self._supervised: list[Supervised] = []

    def __enter__(self) -> Self:
        self._interrupts.install()
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
        return self._children["worker"]

    def tend(self) -> None:
        """Start again what ended, with back-off, and say so."""
        for supervised in self._supervised:
            supervised.tend()

    def watch(self) -> NoReturn:
        """Tend until a signal comes."""
        while True:
            self.tend()
            time.sleep(WATCH_SECONDS)

    def stop(self) -> None:
        """Worker, keeper, deliverer and Flower, then what they depend on."""
        self._interrupts.stopping()
        if self._interrupts.came and not self._is_ending_at_once:
            self._say("stopping; the worker finishes the batches that run, Ctrl-C again ends everything at once")
        self._supervised.clear()
        for child in self._children.values():
            child.terminate()
        for role, child in self._children.items():
            grace = self._grace(role)
            if not child.stop(grace=grace) and not self._is_ending_at_once:
                self._say(f"the {role} did not stop within {grace:g} s and was killed")
        self._children.clear()
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._broker is not None:
            self._broker.stop()
            self._broker = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._is_ending_at_once:
            self._say("what still ran was killed; its jobs run again at the next start")
        self._interrupts.restore()

    def _grace(self, role: str) -> float:
        if self._is_ending_at_once:
            return 0.0
        return max(self.settings.time_limit, STOP_SECONDS) if role == "worker" else STOP_SECONDS

    def _end_at_once(self) -> None:
        """Runs in a signal handler."""
        self._is_ending_at_once = True
        for child in self._children.values():
            child.kill()
        if self._broker is not None:
            self._broker.process.kill()

    def _start(self) -> None:
        if importlib.util.find_spec("celery") is None:
            raise SettingsError("a worker needs more than this installation has: pip install 'inferq[worker]'")
        self._lock = HomeLock(self._home)
        if self._flower:
            self.settings = pages.with_free_port(self.settings)
        self._start_broker()
        self._store = open_migrated(self.settings, self._say)
        self._say(f"broker  {redact(self.settings.broker)}{' (embedded)' if self._broker else ''}")
        self._say(f"store   {redact(self.settings.store)}")
        worker = self._supervise("worker", self._has_beat, *self._worker_options)
        keeper = self._supervise("keeper", _has_scheduler)
        deliverer = self._supervise("deliverer", self._looks_into_outbox) if self._delivers else None
        flower = None
        if self._flower and pages.installed():
            # Here, so that a new password is shown in the terminal and in no log.
            sign_in = flower_sign_in(self.settings)
            flower = self._supervise("flower", lambda _: pages.answer(self.settings))
        self._wait_ready(keeper)
        self._wait_ready(worker)
        self._say(f"worker  pid {worker.child.pid}, keeper  pid {keeper.child.pid}, logs in {self._home / 'logs'}")
        if deliverer is not None:
            self._wait_ready(deliverer)
            self._say(f"deliverer  pid {deliverer.child.pid}: webhooks")
        if flower is not None:
            self._wait_ready(flower)
            self._say(f"flower  {flower_address(self.settings)}, {sign_in.describe()}")
        elif self._flower:
            self._say("flower  not installed: pip install 'inferq[flower]'")

    def _start_broker(self) -> None:
        if not self.settings.embedded_broker:
            with contextlib.closing(Publisher(self.settings.broker)) as publisher:
                publisher.ping()
            return
        self._broker = broker = EmbeddedBroker(self.settings, self._lock)

        def start() -> ChildProcess:
            with self._interrupts.deferred():
                return broker.start()

        self._supervised.append(Supervised(broker.process, start, lambda _: broker.is_ready(), self._say))

    def _supervise(self, role: str, is_ready: Callable[[ChildProcess], bool], *options: str) -> Supervised:
        def start() -> ChildProcess:
            return self._spawn(role, *options)

        supervised = Supervised(start(), start, is_ready, self._say)
        self._supervised.append(supervised)
        return supervised

    def _spawn(self, role: str, *options: str) -> ChildProcess:
        assert self._lock is not None
        with self._interrupts.deferred():  # a process that nobody knows of is never stopped
            self._children[role] = ChildProcess(
                role,
                [sys.executable, "-m", "inferq_workers", role, *options],
                log=self._home / "logs" / f"{role}.log",
                environment=self.settings.environment(),
                inherit=[self._lock.descriptor],
            )
        return self._children[role]

    def _wait_ready(self, supervised: Supervised) -> None:
        """Raises StartFailed when one of the processes ends: at the first start that is an error of the whole."""

        def require_all() -> None:
            for other in self._supervised:
                other.child.require_running()

        supervised.wait_ready(timeout=START_SECONDS, meanwhile=require_all)

    def _has_beat(self, worker: ChildProcess) -> bool:
        try:
            return any(beat.pid == worker.pid for beat in self.store.workers(seen_within=BEAT_SECONDS))
        except StoreError:
            return False

    def _looks_into_outbox(self, _: ChildProcess) -> bool:
        """Whether a deliverer does, be it one that ended seconds ago."""
        try:
            return self.store.elected("deliverer") is not None
        except StoreError:
            return False

    def _say(self, line: str) -> None:
        """A terminal that is closed must not keep us from stopping, or from going on."""
        with contextlib.suppress(OSError):
            self._print(line)


def _has_scheduler(keeper: ChildProcess) -> bool:
    """Whether the keeper got as far as starting its beat."""
    return bool(children_of(keeper.pid))


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
