"""`inferq`: the entry point, and how errors reach the terminal.

Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 store or broker unavailable or backlog full,
4 unknown job, model or version, 5 the job has not ended yet, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, NoReturn

import typer
from typer import echo

from inferq.cli import (
    doctor,
    feedback,
    gateway,
    jobs,
    keys,
    logs,
    models,
    purge,
    roles,
    services,
    stats,
    submit,
    webhooks,
)
from inferq.cli.help import JOBS, UPKEEP, Group, examples
from inferq.cli.output import ExitCode, configure_messages, fail

app = typer.Typer(
    name="inferq",
    cls=Group,
    epilog=examples(
        "inferq demo",
        "inferq up",
        "inferq models register digits digits.skops",
        "inferq submit digits --file images.csv --out results.ndjson",
    )
    + "\n\nExit codes: 0 done, 1 failed, 2 wrong usage or input, 3 store or broker unavailable or backlog full, "
    "4 unknown job, model or version, 5 not finished yet, 130 interrupted. "
    "Settings are INFERQ_* variables; the README lists them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
services.add_local(app)
doctor.add_to(app)
submit.add_to(app)
jobs.add_to(app)
logs.add_to(app)
app.add_typer(feedback.app, name="feedback", rich_help_panel=JOBS)
app.add_typer(models.app, name="models", rich_help_panel=UPKEEP)
app.add_typer(keys.app, name="keys", rich_help_panel=UPKEEP)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=UPKEEP)
stats.add_to(services.database)
purge.add_to(services.database)
roles.add_to(services.database)
app.add_typer(services.database, name="db", rich_help_panel=UPKEEP)
services.add_roles(app)
gateway.add_to(app)


def _print_version(value: bool) -> None:
    if value:
        echo(f"inferq {metadata.version('inferq')}")
        raise typer.Exit


@dataclass
class Invocation:
    """What holds for the whole call."""

    debug: bool = False


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Predictions through a queue: submit rows to a model, get an id at once, fetch the answer with it later.

    Begin with `inferq demo`, which shows the whole and needs nothing. `inferq up` runs everything on this machine; with
    it in another terminal, register a model, submit rows, and ask for results. `inferq COMMAND --help` explains each.

    A job is one request: rows for a model. Workers take jobs from the broker's queue and predict. The keeper repairs
    what got lost. Jobs, results and models are in the store, a database.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
    context.ensure_object(Invocation).debug = debug


def main() -> NoReturn:
    """Run the command. Whatever goes wrong is one line on stderr; a traceback comes only with --debug."""
    configure_messages()
    invocation = Invocation()
    try:
        code = app(prog_name="inferq", standalone_mode=False, obj=invocation)
    except Exception as error:
        if invocation.debug and not isinstance(error, typer.TyperException):
            raise
        fail(error)
    if code == ExitCode.INTERRUPTED:
        echo("inferq: interrupted", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
