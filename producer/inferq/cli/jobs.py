"""`inferq submit`, `result` and `logs`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from typer import echo

from inferq import Client, Job, Method, Priority, Result, State, WaitTimeout
from inferq.cli.output import ExitCode, exit_with, print_json
from inferq.cli.rows import parse_row, read_rows
from inferq_core.errors import InvalidInput
from inferq_core.settings import load_settings
from inferq_core.signature import Signature
from inferq_core.store import open_store
from inferq_core.store.records import JobView

Wait = Annotated[float | None, typer.Option("--wait", min=0, metavar="S", help="Wait at most S seconds for the end.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
LEVELS = ("info", "warning", "error")
PRIORITIES = ", ".join(member.label for member in Priority)


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: inferq submit digits --file half.csv --wait 60")(submit)
    app.command(epilog="Example: inferq result 01978a2e-… --wait 10 --json")(result)
    app.command(epilog="Example: inferq logs --model digits --level error")(logs)


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
    as_json: AsJson = False,
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


def result(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The id that submit returned.")],
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of a job, and its outputs when it has ended."""
    settings = load_settings()
    with closing(open_store(settings)) as store, Client(settings, store=store) as client:
        try:
            ended = client.result(job_id, timeout=wait or 0)
        except WaitTimeout:
            view = store.view(client.job(job_id).id)
            _print_fields({"id": view.id, "state": view.state, **_unfinished(view)}, as_json=as_json)
            exit_with(ExitCode.UNFINISHED)
        _print_fields(_fields(ended), as_json=as_json)
        exit_with(ExitCode.DONE if ended.state is State.SUCCEEDED else ExitCode.FAILED)


def logs(
    job: Annotated[str | None, typer.Option(help="Only of this job.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    level: Annotated[str | None, typer.Option(help="Only of this level: info, warning or error.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Show what happened: failures, retries, recoveries, workers that came and went."""
    if level not in (None, *LEVELS):
        raise InvalidInput(f"--level {level}: give one of {', '.join(LEVELS)}")
    with closing(open_store(load_settings())) as store:
        for number, entry in store.read(job_id=job, model=model, level=level, limit=limit):
            at = datetime.fromtimestamp(entry.at or 0, UTC).isoformat(timespec="milliseconds")
            if as_json:
                print_json({"number": number, **asdict(entry), "at": at})
                continue
            about = {"model": entry.model, "version": entry.version, "job": entry.job_id, "worker": entry.worker}
            named = {name: value for name, value in about.items() if value is not None}
            fields = " ".join(f"{name}={value}" for name, value in {**named, **entry.fields}.items())
            echo(f"{at} {entry.level:7} {entry.event}  {fields}")


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
        print_json(_fields(result))
    elif result.state is State.SUCCEEDED:
        echo(f"{result.id}  {result.state}  {orjson.dumps(result.outputs).decode()}")
    else:
        echo(f"{result.id}  {result.state}  {result.error_code}: {result.error_message}")


def _fields(result: Result) -> dict[str, Any]:
    return {name: value for name, value in asdict(result).items() if value is not None}


def _unfinished(view: JobView) -> dict[str, Any]:
    return {
        "model": view.model,
        "rows": view.n_rows,
        "queue": view.queue,
        "priority": view.priority.label,
        "attempts": view.attempts,
    }


def _print_fields(fields: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        shown = orjson.dumps(value).decode() if isinstance(value, list | dict) else value
        echo(f"{name:14} {shown}")
