"""`inferq submit`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import orjson
import typer
from typer import echo

from inferq import Client, Job, Method, Priority, Result, State, WaitTimeout
from inferq.cli.options import AsJsonLines, Wait
from inferq.cli.output import ExitCode, exit_with, print_json, result_fields
from inferq.cli.rows import parse_row, read_rows
from inferq_core.errors import InvalidInput
from inferq_core.settings import load_settings
from inferq_core.signature import Signature
from inferq_core.store import open_store

PRIORITIES = ", ".join(member.label for member in Priority)


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: inferq submit digits --file half.csv --wait 60")(submit)


def submit(
    model: Annotated[str, typer.Argument(help="Name of a registered model.")],
    *,
    row: Annotated[
        list[str] | None, typer.Option("--row", help="A row as JSON; repeat it for more rows of the same job.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A .csv or .ndjson file; each of its rows becomes a job.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Number or alias; default: the champion.")] = None,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(Method)}.")] = Method.PREDICT.value,
    priority: Annotated[str | None, typer.Option(help=f"One of {PRIORITIES}; default: normal, for files bulk.")] = None,
    wait: Wait = None,
    as_json: AsJsonLines = False,
) -> None:
    """Enqueue rows and print the ids of their jobs; with --wait, their results in the order of the rows.

    All --row of one call make one job. A CSV file of a model with named columns needs a header.
    """
    if bool(row) == (file is not None):
        raise InvalidInput("give rows with --row, or a file with --file")
    settings = load_settings()
    with closing(open_store(settings)) as store, Client(settings, store=store) as client:
        if file is None:
            rows = [parse_row(text) for text in row or []]
            urgency = priority or Priority.NORMAL
            jobs: Iterable[Job] = [client.submit(model, rows, version=version, method=method, priority=urgency)]
        else:
            signature = Signature.from_json(store.version(model, version).signature)
            jobs = client.submit_stream(
                model, read_rows(file, signature), version=version, method=method, priority=priority or Priority.BULK
            )
        if wait is None:
            for job in jobs:
                if as_json:
                    print_json({"id": job.id})
                else:
                    echo(job.id)
        else:
            exit_with(_print_results(client, list(jobs), wait, as_json=as_json))


def _print_results(client: Client, jobs: Sequence[Job], wait: float, *, as_json: bool) -> ExitCode:
    """Print each job's end in the order of `jobs`, as soon as all before it have ended."""
    ended: dict[Job, Result] = {}
    left = deque(jobs)
    timed_out = False
    try:
        for job in client.as_completed(jobs, timeout=wait):
            ended[job] = client.result(job.id)
            while left and left[0] in ended:
                _print_line(ended[left.popleft()], as_json=as_json)
    except WaitTimeout as error:
        timed_out = True
        for job in left:
            if job in ended:
                _print_line(ended[job], as_json=as_json)
            elif as_json:
                print_json({"id": job.id, "state": job.state()})
            else:
                echo(f"{job.id}  {job.state()}")
        echo(f"inferq: {error}", err=True)
    if any(result.state is not State.SUCCEEDED for result in ended.values()):
        return ExitCode.FAILED
    return ExitCode.UNFINISHED if timed_out else ExitCode.DONE


def _print_line(result: Result, *, as_json: bool) -> None:
    if as_json:
        print_json(result_fields(result))
    elif result.state is State.SUCCEEDED:
        echo(f"{result.id}  {result.state}  {orjson.dumps(result.outputs).decode()}")
    else:
        echo(f"{result.id}  {result.state}  {result.error_code}: {result.error_message}")
