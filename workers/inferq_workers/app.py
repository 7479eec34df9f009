"""The Celery application: `celery -A inferq_workers.app worker` works, and so does `inferq worker`."""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery, bootsteps, platforms, signals
from celery.beat import Scheduler
from celery.worker import state

from inferq_core import broker
from inferq_core.broker_url import check_url, is_redis, is_sentinel, is_socket, kombu_url, tls_options
from inferq_core.errors import InferqError
from inferq_core.logging import configure_logging, get_logger
from inferq_core.messages import WEBHOOK_QUEUE
from inferq_core.settings import Settings, load_settings
from inferq_workers.consumer import Batcher
from inferq_workers.delivery.step import Delivering
from inferq_workers.garbage import spare_collections
from inferq_workers.identity import identify
from inferq_workers.memory import renewal_kib, require_room
from inferq_workers.patience import waiting_for_store
from inferq_workers.stuck import StuckWatch
from inferq_workers.tasks import PREPARE_TASK, SWEEP_TASK, register_tasks

MAINTENANCE_QUEUE = "maintenance"
# Messages fetched ahead per pool process: enough single-row messages for the next batch of usual size.
PREFETCH_PER_PROCESS = 256
# Seconds after which a dead process's batch counts as lost. A result that was written nevertheless is safe: the fence
# decides in the store, so there is no reason to wait as long as Celery does (10 s).
WORKER_LOST_WAIT = 0.5
# Seconds a new pool process may take to start; Celery's 4 s kill replacements on a busy machine in an endless loop.
PROCESS_ALIVE_TIMEOUT = 120.0
PREPARE_INTERVAL = 3600.0
WATCH_BEAT_INTERVAL = 1.0
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3

log = get_logger(__name__)


class KeeperScheduler(Scheduler):
    """Beat without a schedule file; its process ends with the keeper, however that ends."""

    def setup_schedule(self) -> None:
        platforms.set_pdeathsig("SIGKILL")
        super().setup_schedule()


class WatchBeat(bootsteps.StartStopStep):
    """A keeper whose beat died would live on and do nothing: it ends instead, for its supervisor to start again."""

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        if getattr(worker, "beat", None) is not None:
            hub.call_repeatedly(WATCH_BEAT_INTERVAL, self._check, worker)

    def _check(self, worker: Any) -> None:
        if not worker.beat.is_alive():
            log.error("beat_died", exit_code=worker.beat.exitcode)
            state.should_stop = EXIT_UNAVAILABLE


def make_app(settings: Settings) -> Celery:
    """The Celery application for these settings. Connects to nothing."""
    url = check_url(settings.broker)
    app = Celery("inferq", broker=kombu_url(url), set_as_current=True, events="inferq_workers.events:Events")
    app.conf.update(
        accept_content=["json"],
        beat_scheduler=KeeperScheduler,
        beat_schedule=_schedule(settings),
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_transport=transport_of(url),
        broker_transport_options=broker.transport_options(url),
        broker_use_ssl=tls_options(url),
        task_acks_late=not is_redis(url),
        task_default_queue=settings.queue,
        task_ignore_result=True,
        task_queues=[broker.queue(name, url) for name in _queues(settings)],
        task_serializer="json",
        worker_autoscaler="inferq_workers.autoscaler:BacklogAutoscaler",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_consumer="inferq_workers.intake:SettingAside",
        worker_enable_prefetch_count_reduction=False,
        worker_hijack_root_logger=False,
        worker_lost_wait=WORKER_LOST_WAIT,
        worker_prefetch_multiplier=PREFETCH_PER_PROCESS,
        worker_proc_alive_timeout=PROCESS_ALIVE_TIMEOUT,
        worker_redirect_stdouts=False,
        worker_send_task_events=True,
    )
    if settings.concurrency:
        app.conf.worker_concurrency = settings.concurrency
    if settings.memory_limit_mib is not None:
        app.conf.worker_max_memory_per_child = renewal_kib(settings.memory_limit_mib)
    app.inferq = None  # the worker's Identity, set when it starts
    app.deliverer = None  # of the role of that name
    app.steps["consumer"].add(Batcher)
    app.steps["consumer"].add(StuckWatch)
    app.steps["worker"].add(WatchBeat)
    app.steps["worker"].add(Delivering)
    register_tasks(app)
    _connect_signals(app, settings)
    return app


def _queues(settings: Settings) -> list[str]:
    return list(dict.fromkeys([*settings.served_queues, MAINTENANCE_QUEUE, WEBHOOK_QUEUE]))


def transport_of(url: str) -> str:
    """What `broker_transport` is for the broker."""
    if is_socket(url):
        return "inferq_workers.transport:SocketTransport"
    if is_sentinel(url):
        return "inferq_workers.transport:SentinelTransport"
    return "inferq_workers.transport:Transport" if is_redis(url) else "inferq_workers.amqp:Transport"


def _schedule(settings: Settings) -> dict[str, Any]:
    def every(task: str, seconds: float) -> dict[str, Any]:
        return {"task": task, "schedule": seconds, "options": {"queue": MAINTENANCE_QUEUE, "expires": seconds}}

    return {"sweep": every(SWEEP_TASK, settings.sweep_interval), "prepare": every(PREPARE_TASK, PREPARE_INTERVAL)}


def _connect_signals(app: Celery, settings: Settings) -> None:
    def on_setup_logging(**_: Any) -> None:
        configure_logging(settings.log_level)

    def on_worker_init(**_: Any) -> None:
        configure_logging(settings.log_level)  # Celery sets it up later, and a store that is away is told of now
        # Before the pool forks. Celery logs and forgets the exceptions of signal handlers, but not SystemExit.
        try:
            app.inferq = waiting_for_store(lambda: identify(settings, list(app.amqp.queues.consume_from)))
        except InferqError as error:
            sys.stderr.write(f"inferq: {error}\n")
            raise SystemExit(EXIT_UNAVAILABLE) from error

        if _predicts(app):
            # Before the fork, so that the pool shares what it brings: scikit-learn, seconds of work. Keeper and Flower
            # start without.
            import inferq_workers.process  # noqa: F401, PLC0415

            _require_room(settings)

    def on_process_begin(**_: Any) -> None:
        if _predicts(app):
            from inferq_workers import process  # noqa: PLC0415

            process.begin(app.inferq)

    def on_process_end(**_: Any) -> None:
        if _predicts(app):
            from inferq_workers import process  # noqa: PLC0415

            process.end()

    def on_worker_ready(**_: Any) -> None:
        spare_collections()

    signals.worker_ready.connect(on_worker_ready, weak=False)
    signals.setup_logging.connect(on_setup_logging, weak=False)
    signals.worker_init.connect(on_worker_init, weak=False)
    signals.worker_process_init.connect(on_process_begin, weak=False)
    signals.worker_process_shutdown.connect(on_process_end, weak=False)


def _require_room(settings: Settings) -> None:
    if settings.memory_limit_mib is None:
        return
    try:
        require_room(settings.memory_limit_mib)
    except InferqError as error:
        sys.stderr.write(f"inferq: {error}\n")
        raise SystemExit(EXIT_USAGE) from error


def _predicts(app: Celery) -> bool:
    return not set(app.inferq.queues) <= {MAINTENANCE_QUEUE, WEBHOOK_QUEUE}


# BLAS and OpenMP read these when they are first imported: one thread per pool process.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

app = make_app(load_settings())
