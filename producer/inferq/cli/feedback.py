"""`inferq feedback`: ground truth for jobs, one by one or from a file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from typer import echo
from typer.core import TyperGroup

from inferq.cli.options import examples
from inferq.cli.output import ExitCode, exit_with
from inferq.cli.truth import Tally, import_file, read_value
from inferq_core.ids import JobId
from inferq_core.settings import load_settings
from inferq_core.store import open_store


class AddByDefault(TyperGroup):
    """`feedback ID VALUE` is `feedback add ID VALUE`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = args[0] in self.commands or args[0].startswith("-")
        return super().resolve_command(ctx, args if known else ["add", *args])


app = typer.Typer(
    cls=AddByDefault,
    help="Say what was right: ground truth for jobs, any time after they were submitted. The last value counts.",
    no_args_is_help=True,
    epilog=examples(
        "inferq feedback 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f 7",
        "inferq feedback import truth.csv",
    ),
)


@app.command(
    # A negative number is a value, not an option.
    context_settings={"ignore_unknown_options": True},
    epilog=examples(
        "inferq feedback add 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f 7",
        "inferq feedback add 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f spam",
        "inferq feedback add 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f '[0.5, 1.5]'",
    ),
)
def add(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The id that submit printed.")],
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="What is true: JSON, or text. A job of several rows takes a list.")
    ],
) -> None:
    """Store the ground truth of one job. The word `add` may be left out."""
    actual = read_value(value)
    with closing(open_store(load_settings())) as store:
        store.add_feedback([(JobId(job_id), actual)])
    echo(f"stored {orjson.dumps(actual).decode()} for job {job_id}")


@app.command(
    "import",
    epilog=examples(
        "inferq feedback import truth.csv",
        "inferq feedback import orders.csv --id-column job --value-column returned",
    ),
)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv file whose first line names its columns.")],
    *,
    id_column: Annotated[str, typer.Option(metavar="NAME", help="Column of the jobs' ids.")] = "id",
    value_column: Annotated[str, typer.Option(metavar="NAME", help="Column of the true values.")] = "value",
) -> None:
    """Store the ground truth of many jobs, one a line: the job's id, and the value as JSON or text.

    Lines that cannot be stored are named, with the reason, and left out; the exit code is 1 then. Correct them and
    import the file again: what is stored twice does no harm.
    """
    with closing(open_store(load_settings())) as store:
        tally = Tally()
        for refusal in import_file(store, file, (id_column, value_column), tally):
            echo(f"inferq: line {refusal.line} was refused: {refusal.why}", err=True)
    echo(f"{tally.stored} stored, {tally.refused} refused")
    exit_with(ExitCode.FAILED if tally.refused else ExitCode.DONE)
