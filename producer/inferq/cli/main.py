"""`inferq`: the entry point, and how errors reach the terminal.

Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 store or broker unavailable, 4 unknown job, model or version,
5 the job has not ended yet.
"""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer
from typer import echo

from inferq.cli import jobs, logs, models, services, submit
from inferq.cli.output import configure_messages, fail
from inferq_core.errors import InferqError

app = typer.Typer(
    name="inferq",
    help="Predictions through a queue: submit rows, poll results, run workers.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 store or broker unavailable, "
    "4 unknown job, model or version, 5 not finished yet. Settings are INFERQ_* variables; see the README.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
submit.add_to(app)
jobs.add_to(app)
logs.add_to(app)
services.add_to(app)
app.add_typer(models.app, name="models")
app.add_typer(services.database, name="db")


def _print_version(value: bool) -> None:
    if value:
        echo(f"inferq {metadata.version('inferq')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Predictions through a queue: submit rows, poll results, run workers."""


def main() -> None:
    configure_messages()
    try:
        app(prog_name="inferq")
    except InferqError as error:
        if "--debug" in sys.argv:
            raise
        fail(error)


if __name__ == "__main__":
    main()
