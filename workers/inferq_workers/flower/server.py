"""`inferq flower`: Flower on inferq's Celery application, with settings that suit it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import structlog
from celery import Celery
from flower.options import default_options as options
from flower.urls import settings as flower_settings
from tornado.ioloop import IOLoop
from tornado.web import StaticFileHandler, url

from inferq_core.broker import Publisher
from inferq_core.errors import SettingsError
from inferq_core.logging import configure_logging
from inferq_core.settings import Settings
from inferq_core.signin import flower_address, flower_folder, flower_sign_in
from inferq_core.store import open_store
from inferq_monitoring.overview import read_overview
from inferq_workers.flower.gate import GatedFlower
from inferq_workers.flower.page import OverviewPage, Shared
from inferq_workers.flower.templates import Templates

log = structlog.get_logger(__name__)

# Tasks, that is batches, whose history is kept. All of it is pickled at each save.
MAX_TASKS = 10_000
SAVE_INTERVAL_MS = 60_000
# What a batch is, first; the id last, because it is long. No name: every batch has the same.
TASK_COLUMNS = "args,state,received,runtime,worker,uuid"
# Seconds after which a worker that is gone leaves the metrics.
FORGET_WORKERS = 3600
LOOPBACK = ("127.0.0.1", "::1", "localhost")
STATIC = Path(__file__).parent / "static"


def serve(app: Celery, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError, StoreError."""
    configure_logging(settings.log_level)
    # Every page view would be a line; refused ones are warnings and stay.
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    os.umask(0o077)
    sign_in = flower_sign_in(settings)
    _set_options(settings, flower_folder(settings), sign_in.credentials.get_secret_value())
    store, publisher = open_store(settings), Publisher(settings.broker)
    flower = GatedFlower(
        sign_in.credentials,
        capp=app,
        options=options,
        io_loop=IOLoop.current(),
        template_loader=Templates(flower_settings["template_path"]),
        **flower_settings,
    )
    shared = Shared(lambda: read_overview(store, publisher.depth, settings.served_queues))
    flower.add_handlers(
        r".*",
        [
            url(r"/inferq", OverviewPage, {"shared": shared}, name="inferq"),
            url(r"/inferq/static/(.*)", StaticFileHandler, {"path": str(STATIC)}),
        ],
    )
    _listen(flower, settings)
    sys.stdout.write(f"flower at {flower_address(settings)}, {sign_in.describe()}\n")
    sys.stdout.flush()
    _stop_on_signals(flower)
    flower.start()
    publisher.close()
    store.close()


def _set_options(settings: Settings, folder: Path, credentials: str) -> None:
    """Flower reads tornado's global options, some of them behind our back, so they are set there."""
    options.address = settings.flower_address
    options.port = settings.flower_port
    options.basic_auth = [credentials]
    options.persistent = True
    options.db = str(folder / "state")
    options.state_save_interval = SAVE_INTERVAL_MS
    options.max_tasks = MAX_TASKS
    options.purge_offline_workers = FORGET_WORKERS
    options.tasks_columns = TASK_COLUMNS
    # Its buttons go around the store: a revoked batch, a task sent by hand, a pool that shrinks under a batch.
    options.read_only = True


def _listen(flower: GatedFlower, settings: Settings) -> None:
    try:
        flower.start_http_server()
    except OSError as error:
        raise SettingsError(
            f"Flower cannot listen on INFERQ_FLOWER_ADDRESS={settings.flower_address}, "
            f"INFERQ_FLOWER_PORT={settings.flower_port}: {error.strerror}. Set another one"
        ) from error
    if settings.flower_address not in LOOPBACK:
        log.warning(
            "flower_without_tls", address=flower_address(settings), advice="put a proxy with TLS in front of it"
        )


def _stop_on_signals(flower: GatedFlower) -> None:
    loop = flower.io_loop

    def stop() -> None:
        try:
            flower.stop()
        except OSError as error:
            log.warning("flower_state_not_saved", reason=str(error))
            loop.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.asyncio_loop.add_signal_handler(number, stop)
