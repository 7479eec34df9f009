"""What the roles worker, keeper, deliverer and flower run."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys

from celery import Celery
from celery.bin.celery import celery as celery_command

from inferq_core.errors import InferqError, SettingsError
from inferq_core.messages import WEBHOOK_QUEUE
from inferq_core.policy.autoscale import Bounds
from inferq_core.settings import Settings, load_settings

EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m inferq_workers")
    roles = parser.add_subparsers(dest="role", required=True)
    worker = roles.add_parser("worker", help="predict: one main process and a pool")
    worker.add_argument("--name", default=None, help="node name, unique on this broker (default: worker-PID@host)")
    worker.add_argument("--autoscale", metavar="MAX,MIN", default=None, help="follow the backlog between these bounds")
    roles.add_parser("keeper", help="periodic work: sweep, recover, republish")
    roles.add_parser("deliverer", help="webhooks and the event stream")
    roles.add_parser("flower", help="web pages on queues, batches and workers")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        bounds = Bounds.parse(arguments.autoscale) if getattr(arguments, "autoscale", None) else None
        from inferq_workers.app import MAINTENANCE_QUEUE, app  # noqa: PLC0415 - makes the app from the settings

        if arguments.role == "flower":
            serve_flower(app, settings)
            sys.stdout.flush()
            # All is saved. Threads of Flower's that ask a broker which is gone would be waited for without end.
            os._exit(0)
    except InferqError as error:
        sys.stderr.write(f"inferq: {error}\n")
        return EXIT_USAGE if isinstance(error, SettingsError) else EXIT_UNAVAILABLE
    if arguments.role == "worker":
        name = arguments.name or f"worker-{os.getpid()}"
        options = ["-Q", ",".join(settings.served_queues), "-O", "fair"]
        options += ["--autoscale", str(bounds)] if bounds else []
    elif arguments.role == "deliverer":
        name = f"deliverer-{os.getpid()}"
        options = ["-Q", WEBHOOK_QUEUE, "--pool", "solo"]
    else:
        name = f"keeper-{os.getpid()}"
        options = ["-Q", MAINTENANCE_QUEUE, "--pool", "solo", "--beat"]
    # As `app.worker_main` does, which drops the exit code.
    celery_command.params[0].default = app
    code = celery_command.main(
        args=[
            "--quiet",
            "worker",
            "-n",
            f"{name}@%h",
            "--without-gossip",
            "--without-mingle",
            "-l",
            settings.log_level,
            *options,
        ],
        standalone_mode=False,
    )
    return int(code or 0)


def serve_flower(app: Celery, settings: Settings) -> None:
    """Raises SettingsError, StoreError."""
    if importlib.util.find_spec("flower") is None:
        raise SettingsError("the pages need more than this installation has: pip install 'inferq[flower]'")
    from inferq_workers.flower.server import serve  # noqa: PLC0415 - an extra that a worker does without

    serve(app, settings)
