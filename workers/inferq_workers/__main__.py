"""`python -m inferq_workers worker|keeper`: what `inferq worker` and `inferq keeper` run."""

from __future__ import annotations

import argparse
import os
import sys

from inferq_core.errors import InferqError
from inferq_core.policy.autoscale import Bounds
from inferq_core.settings import load_settings

EXIT_USAGE = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m inferq_workers")
    roles = parser.add_subparsers(dest="role", required=True)
    worker = roles.add_parser("worker", help="predict: one main process and a pool")
    worker.add_argument("--name", default=None, help="node name, unique on this broker (default: worker-PID@host)")
    worker.add_argument("--autoscale", metavar="MAX,MIN", default=None, help="follow the backlog between these bounds")
    roles.add_parser("keeper", help="periodic work: sweep, recover, republish")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        bounds = Bounds.parse(arguments.autoscale) if getattr(arguments, "autoscale", None) else None
        from inferq_workers.app import MAINTENANCE_QUEUE, app  # noqa: PLC0415 - makes the app from the settings
    except InferqError as error:
        sys.stderr.write(f"inferq: {error}\n")
        return EXIT_USAGE
    if arguments.role == "worker":
        name = arguments.name or f"worker-{os.getpid()}"
        options = ["-Q", ",".join(settings.served_queues), "-O", "fair"]
        options += ["--autoscale", str(bounds)] if bounds else []
    else:
        name = f"keeper-{os.getpid()}"
        options = ["-Q", MAINTENANCE_QUEUE, "--pool", "solo", "--beat"]
    app.worker_main(
        [
            "--quiet",
            "worker",
            "-n",
            f"{name}@%h",
            "--without-gossip",
            "--without-mingle",
            "-l",
            settings.log_level,
            *options,
        ]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
