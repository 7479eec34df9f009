"""`inferq worker`, `keeper`, `flower`, `up`, `demo` and `db`."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from typer import echo

from inferq.cli.output import ExitCode, exit_with
from inferq_core.errors import SettingsError
from inferq_core.policy.autoscale import Bounds
from inferq_core.settings import load_settings, redact

database = typer.Typer(help="Bring the store's tables up to date, or check them.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: inferq worker --name gpu1 --autoscale 8,1")(worker)
    app.command(epilog="Example: inferq keeper")(keeper)
    app.command(epilog="Example: INFERQ_FLOWER_PORT=8055 inferq flower")(flower)
    app.command(epilog="Example: INFERQ_HOME=/var/tmp/inferq inferq up")(up)
    app.command(epilog="Example: inferq demo --json demo.json")(demo)


def worker(
    name: Annotated[str | None, typer.Option(help="Node name, unique on the broker.")] = None,
    autoscale: Annotated[
        str | None,
        typer.Option(metavar="MAX,MIN", help="Follow the backlog with this many processes; see INFERQ_TARGET_WAIT."),
    ] = None,
) -> None:
    """Run a worker: it loads models and predicts. SIGTERM finishes what is running."""
    options = ["--name", name] if name else []
    if autoscale is not None:
        options += ["--autoscale", str(Bounds.parse(autoscale))]
    _become("worker", *options)


def keeper() -> None:
    """Run the keeper: it recovers, expires and publishes again what got lost. Several may run."""
    _become("keeper")


def flower() -> None:
    """Serve Flower's pages on queues, batches and workers, behind a password (INFERQ_FLOWER_AUTH).

    They read only. Without INFERQ_FLOWER_AUTH a password is made once, printed, and kept under the home.
    """
    _become("flower")


def up() -> None:
    """Run broker, worker, keeper and Flower on this machine until Ctrl-C; what dies is started again.

    Ctrl-C lets the worker finish the batches that run; a second one ends everything at once.
    """
    from inferq.local.system import LocalSystem

    _interrupt_on_signals()
    try:
        with LocalSystem(load_settings(), echo, flower=True) as system:
            echo("ready; Ctrl-C stops everything")
            system.watch()
    except KeyboardInterrupt:
        echo("stopped")


def demo(
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the table as JSON.")] = None,
) -> None:
    """Run the main job on real data, with a crash in the middle, and check every number."""
    from inferq.local.demo import run_demo

    _interrupt_on_signals()
    succeeded = run_demo(load_settings(), json)
    exit_with(ExitCode.DONE if succeeded else ExitCode.FAILED)


@database.command(epilog="Example: INFERQ_STORE_URL=postgresql+psycopg://… inferq db upgrade")
def upgrade() -> None:
    """Apply the missing migrations."""
    from inferq_migrations import upgrade as migrate

    settings = load_settings()
    if settings.store_url is None:
        settings.make_home()
    echo(f"{redact(settings.store)} is at revision {migrate(settings.store)}")


@database.command(epilog="Example: inferq db check")
def check(
    scratch: Annotated[bool, typer.Option("--scratch", help="Check a new SQLite database instead.")] = False,
) -> None:
    """Compare the tables in the database with those this version wants; exit 1 when they differ."""
    from inferq_migrations import check as compare
    from inferq_migrations import upgrade as migrate

    if scratch:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/scratch.db"
            migrate(url)
            differences = compare(url)
    else:
        url = load_settings().store
        differences = compare(url)
    for difference in differences:
        echo(difference)
    if differences:
        exit_with(ExitCode.FAILED)
    echo("the database agrees with this version")


def _become(role: str, *options: str) -> None:
    """Replace this process, so that signals reach the worker itself."""
    if importlib.util.find_spec("celery") is None:
        raise SettingsError(f"a {role} needs more than this installation has: pip install 'inferq[worker]'")
    load_settings()  # a wrong setting is one line here
    command = [sys.executable, "-m", "inferq_workers", role, *options]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606


def _interrupt_on_signals() -> None:
    """SIGTERM and a closed terminal unwind like Ctrl-C, so that no child process is left."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
