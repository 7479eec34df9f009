"""`inferq`: the entry point, and how errors reach the terminal.

Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 store or broker unavailable, 4 unknown job, model or version,
5 the job has not ended yet, 130 interrupted.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, NoReturn

import typer
from typer import echo

from inferq.cli import doctor, feedback, jobs, logs, models, services, stats, submit
from inferq.cli.output import ExitCode, configure_messages, fail

app = typer.Typer(
    name="inferq",
    help="Predictions through a queue: submit rows, poll results, run workers.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 store or broker unavailable, "
    "4 unknown job, model or version, 5 not finished yet, 130 interrupted. "
    "Settings are INFERQ_* variables; see the README.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
submit.add_to(app)
jobs.add_to(app)
logs.add_to(app)
doctor.add_to(app)
services.add_to(app)
app.add_typer(models.app, name="models")
app.add_typer(feedback.app, name="feedback")
stats.add_to(services.database)
app.add_typer(services.database, name="db")


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
    """Predictions through a queue: submit rows, poll results, run workers."""
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
