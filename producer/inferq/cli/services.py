"""`inferq worker`, `keeper`, `deliverer`, `flower`, `up`, `demo` and `db`."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from typer import echo

from inferq.cli.help import ROLES, START, Command, Group, examples
from inferq.cli.options import AsJson
from inferq.cli.output import ExitCode, exit_with, print_json
from inferq_core.errors import InvalidInput, SettingsError
from inferq_core.policy.autoscale import Bounds
from inferq_core.settings import load_settings, redact

# What a worker may be called, as a part of its name on the broker.
WORKER_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)

database = typer.Typer(
    cls=Group,
    help="""Bring the store's tables up to date, check them, see how much is in them, delete what is old.

    The store is the database with all jobs and results: SQLite under INFERQ_HOME, or what INFERQ_STORE_URL names.""",
    no_args_is_help=True,
    epilog=examples("inferq db upgrade", "inferq db stats"),
)


def add_local(app: typer.Typer) -> None:
    """What runs everything on this machine."""
    _add(app, START, demo, "inferq demo", "inferq demo --out demo.json")
    _add(app, START, up, "inferq up", "INFERQ_HOME=/var/tmp/inferq INFERQ_FLOWER_PORT=8055 inferq up")


def add_roles(app: typer.Typer) -> None:
    """What runs one process."""
    _add(app, ROLES, worker, "inferq worker", "INFERQ_QUEUES=heavy inferq worker --name heavy1 --autoscale 8,1")
    _add(app, ROLES, keeper, "inferq keeper")
    _add(app, ROLES, deliverer, "inferq deliverer", "INFERQ_EVENT_STREAM=inferq.events inferq deliverer")
    _add(app, ROLES, flower, "inferq flower", "INFERQ_FLOWER_PORT=8055 inferq flower")


def _add(app: typer.Typer, panel: str, command: Callable[..., None], *lines: str) -> None:
    app.command(cls=Command, epilog=examples(*lines), rich_help_panel=panel)(command)


def worker(
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of this worker; each on a broker needs its own.", show_default="worker-PID"
        ),
    ] = None,
    autoscale: Annotated[
        str | None,
        typer.Option(
            metavar="MAX,MIN",
            help="Run as many processes as what waits needs, between these two numbers.",
            show_default="INFERQ_CONCURRENCY, one per core",
        ),
    ] = None,
) -> None:
    """Run a worker: it takes jobs from the queue, loads their models and predicts, until SIGTERM or Ctrl-C.

    Either lets it finish the batches that run. It serves the queues of INFERQ_QUEUES (predictions). Run as many workers
    as needed, on any host that reaches broker and store, and a keeper beside them.
    """
    options = []
    if name is not None:
        if not WORKER_NAME.fullmatch(name):
            raise InvalidInput(f"--name {name!r}: letters, digits, '_', '.' and '-' only, 1 to 64 of them")
        options = ["--name", name]
    if autoscale is not None:
        options += ["--autoscale", str(Bounds.parse(autoscale))]
    _become("worker", *options)


def keeper() -> None:
    """Run the keeper: it repairs what got lost, until SIGTERM or Ctrl-C.

    Jobs of a worker that died run again, jobs whose message was lost are published again, jobs past their deadline end.
    Every system needs one; when several run, one of them does the work.
    """
    _become("keeper")


def deliverer() -> None:
    """Run the deliverer: it posts webhooks to their receivers, until SIGTERM or Ctrl-C.

    What is to be told is in the store: a deliverer that was away catches up. Several may run. With INFERQ_EVENT_STREAM
    set, every job that ends is an entry of that Redis stream, too.
    """
    _become("deliverer")


def flower() -> None:
    """Serve Flower's web pages on queues, batches and workers, until SIGTERM or Ctrl-C.

    They change nothing, and are behind a password: that of INFERQ_FLOWER_AUTH (user:password), or one that is made at
    the first start, printed, and kept under INFERQ_HOME. The address is INFERQ_FLOWER_ADDRESS (127.0.0.1) and
    INFERQ_FLOWER_PORT (5555), the page of inferq itself is /inferq there.
    """
    _become("flower")


def up() -> None:
    """Run everything on this machine until Ctrl-C: broker, worker, keeper, deliverer and Flower, the web pages.

    What dies is started again. Ctrl-C lets the worker finish the batches that run; a second one ends everything at
    once. Jobs and results stay in INFERQ_HOME (~/.inferq). With INFERQ_BROKER_URL set no broker is started.
    """
    from inferq.local.system import LocalSystem

    _interrupt_on_signals()
    try:
        with LocalSystem(load_settings(), echo, flower=True, deliverer=True) as system:
            echo("ready; Ctrl-C stops everything")
            system.watch()
    except KeyboardInterrupt:
        echo("stopped")


def demo(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the figures into this file, as JSON.")
    ] = None,
) -> None:
    """Show the whole on real data, in half a minute, and check every number. It ends by itself.

    It starts broker, worker and keeper, trains a model on images of digits, submits 949 jobs, kills a process on the
    way, and shows what became of each job and how right the answers were.
    """
    from inferq.local.demo import run_demo

    _interrupt_on_signals()
    succeeded = run_demo(load_settings(), out)
    exit_with(ExitCode.DONE if succeeded else ExitCode.FAILED)


@database.command(
    cls=Command,
    epilog=examples("inferq db upgrade", "INFERQ_STORE_URL=postgresql+psycopg://inferq@db/inferq inferq db upgrade"),
)
def upgrade() -> None:
    """Make the store's tables, or bring them to what this version of inferq needs.

    PostgreSQL needs it before the first use and after an update of inferq; workers may run meanwhile. SQLite is brought
    up to date by itself.
    """
    from inferq_migrations import upgrade as migrate

    settings = load_settings()
    if settings.store_url is None:
        settings.make_home()
    echo(f"{redact(settings.store)} is at revision {migrate(settings.store)}")


@database.command(cls=Command, epilog=examples("inferq db check", "inferq db check --scratch --json"))
def check(
    *,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Check a new SQLite database, made for this and removed, instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the tables of the store with those that this version of inferq needs; it changes nothing.

    The exit code is 1 when they differ; `inferq db upgrade` mends that.
    """
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
    if as_json:
        print_json({"agrees": not differences, "differences": differences})
    else:
        for difference in differences or ["the database agrees with this version"]:
            echo(difference)
    exit_with(ExitCode.FAILED if differences else ExitCode.DONE)


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
