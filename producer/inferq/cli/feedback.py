"""`inferq feedback`: ground truth for jobs, one by one or from a file."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from typer import echo

from inferq.cli.help import Command, Group, examples
from inferq.cli.options import JobId
from inferq.cli.output import ExitCode, exit_with
from inferq.cli.truth import Tally, import_file, read_value
from inferq.job import id_of
from inferq_core.settings import load_settings
from inferq_core.store import open_store

# What begins like one, so that -1.2.3 is a text and no mistake.
_NEGATIVE = re.compile(r"-\.?\d|-inf", re.IGNORECASE)


class AddByDefault(Group):
    """`feedback ID VALUE` is `feedback add ID VALUE`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = args[0] in self.commands or args[0].startswith("-")
        return super().resolve_command(ctx, args if known else ["add", *args])


class WithNegativeValue(Command):
    """A negative number is a value, not an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = next((place for place, text in enumerate(args) if text == "--" or _NEGATIVE.match(text)), None)
        if first is not None and args[first] != "--":
            args = [*args[:first], "--", *args[first:]]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=AddByDefault,
    help="""Tell what was right: the true value for jobs, once it is known. The accuracy of models comes from it.

    It may come any time after a job was submitted, and more than once: the last value counts.
    `inferq feedback ID VALUE` stores one value, `inferq feedback import FILE` those of a file.""",
    no_args_is_help=True,
    epilog=examples(
        "inferq feedback 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f 7",
        "inferq feedback import truth.csv",
    ),
)


@app.command(
    cls=WithNegativeValue,
    epilog=examples(
        "inferq feedback add 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f 7",
        "inferq feedback add 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f spam",
        "inferq feedback add 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f '[0.5, 1.5]'",
    ),
)
def add(
    job_id: JobId,
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE", help="What is true: JSON, or else text. For a job of several rows a list, an item per row."
        ),
    ],
) -> None:
    """Store the true value of one job. The word `add` may be left out."""
    known, actual = id_of(job_id), read_value(value)
    with closing(open_store(load_settings())) as store:
        store.add_feedback([(known, actual)])
    echo(f"stored {orjson.dumps(actual).decode()} for job {job_id}")


@app.command(
    "import",
    cls=Command,
    epilog=examples(
        "inferq feedback import truth.csv",
        "inferq feedback import orders.csv --id-column job --value-column returned",
    ),
)
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV in UTF-8; the first line names its columns."),
    ],
    *,
    id_column: Annotated[str, typer.Option(metavar="NAME", help="Column of the jobs' ids.")] = "id",
    value_column: Annotated[str, typer.Option(metavar="NAME", help="Column of the true values.")] = "value",
) -> None:
    """Store the true values of many jobs, a job a line: its id, and the value as JSON or else text.

    Lines that cannot be stored are named, with the reason, and left out; the exit code is 1 then. Correct them and
    import the file again: what is stored twice does no harm.
    """
    with closing(open_store(load_settings())) as store:
        tally = Tally()
        for refusal in import_file(store, file, (id_column, value_column), tally):
            echo(f"inferq: line {refusal.line} was refused: {refusal.why}", err=True)
    echo(f"{tally.stored} stored, {tally.refused} refused")
    exit_with(ExitCode.FAILED if tally.refused else ExitCode.DONE)
