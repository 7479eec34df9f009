"""`inferq submit`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from typer import echo

from inferq import Client, Job, Method, Priority, Result, State, WaitTimeout
from inferq.cli.completion import priorities
from inferq.cli.file_run import Deliver, FileRun
from inferq.cli.help import JOBS, Command, examples
from inferq.cli.meter import Meter
from inferq.cli.options import AsJsonLines, Model, Wait
from inferq.cli.out_file import OutFile, Tally
from inferq.cli.output import ExitCode, exit_with, print_json, result_fields
from inferq.cli.row_files import open_rows, parse_row
from inferq.cli.stop import Stop
from inferq.job import result_of
from inferq.options import SubmitOptions, check_options
from inferq.run import Run, RunRequest
from inferq_core.errors import InvalidInput, StoreError
from inferq_core.ids import JobId
from inferq_core.settings import Settings, load_settings
from inferq_core.signature import Signature
from inferq_core.store import open_store
from inferq_core.store.contract import Store
from inferq_core.store.records import StoredResult

PRIORITIES = ", ".join(member.label for member in Priority)


def add_to(app: typer.Typer) -> None:
    app.command(
        cls=Command,
        epilog=examples(
            "inferq submit iris --row '[5.1, 3.5, 1.4, 0.2]' --wait 10",
            'inferq submit churn --row \'{"age": 41, "plan": "basic"}\'',
            "inferq submit churn --file customers.csv --wait 60",
            "inferq submit churn --file all.parquet --out results.ndjson",
        ),
        rich_help_panel=JOBS,
    )(submit)


def submit(
    model: Model,
    *,
    row: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            metavar="JSON",
            help="A row: '[1, 2]', '{\"name\": 1}' or '\"text\"'. Repeat it for more rows of the same job.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="A .csv, .ndjson or .parquet file; each of its rows becomes a job."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="With --file: wait for the results, and write a line of JSON for each row, in order, into this file.",
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="NAME", help="With --file: submit the same file once more, under a name of your choice."
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Version of the model: its number, or an alias.", show_default="alias champion"
        ),
    ] = None,
    method: Annotated[
        Method, typer.Option(metavar="METHOD", help=f"What to ask the model for: {', '.join(Method)}.")
    ] = Method.PREDICT,
    priority: Annotated[
        str | None,
        typer.Option(
            metavar="PRIORITY",
            help=f"What goes first: {PRIORITIES}.",
            show_default="normal, for files bulk",
            autocompletion=priorities,
        ),
    ] = None,
    wait: Wait = None,
    as_json: AsJsonLines = False,
) -> None:
    """Submit rows to a model and print the ids of their jobs; with --wait, their results.

    All --row of one call make one job; each row of a --file makes a job of its own. A CSV file for a model with named
    columns needs a header with their names. A file is checked as a whole before its first row is submitted, and may be
    interrupted: the same command with the same file continues, and submits no row twice.

    The exit code is 1 when a row failed, and 5 when --wait ended before the last result.
    """
    if bool(row) == (file is not None):
        raise InvalidInput("give rows with --row, or a file with --file")
    if run == "":
        raise InvalidInput("--run '': give a name, such as --run monday")
    if file is None and (out is not None or run is not None):
        raise InvalidInput(f"{'--out' if out is not None else '--run'} goes with --file")
    settings = load_settings()
    options = check_options(
        version=version, method=method, priority=priority or (Priority.NORMAL if file is None else Priority.BULK)
    )
    with closing(open_store(settings)) as store:
        if file is None:
            rows = [parse_row(text) for text in row or []]
            code = _submit_rows(Client(settings, store=store), model, rows, options, wait, as_json=as_json)
        else:
            code = _submit_file(settings, store, _FileOrder(model, options, file, run, out, wait, as_json))
    exit_with(code)


def _submit_rows(
    client: Client, model: str, rows: Sequence[Any], options: SubmitOptions, wait: float | None, *, as_json: bool
) -> ExitCode:
    with client:
        job = client.submit(model, rows, version=options.version, method=options.method, priority=options.priority)
        if wait is None:
            _print_accepted(job, as_json=as_json)
            return ExitCode.DONE
        try:
            result = client.result(job.id, timeout=wait)
        except WaitTimeout as error:
            if as_json:
                print_json({"id": job.id, "state": job.state()})
            else:
                echo(f"{job.id}  {job.state()}")
            echo(f"inferq: {error}", err=True)
            return ExitCode.UNFINISHED
        _print_result(result, as_json=as_json)
        return ExitCode.DONE if result.state is State.SUCCEEDED else ExitCode.FAILED


@dataclass(frozen=True, slots=True)
class _FileOrder:
    """What was asked for with --file."""

    model: str
    options: SubmitOptions
    file: Path
    run: str | None
    out: Path | None
    wait: float | None
    as_json: bool


def _submit_file(settings: Settings, store: Store, order: _FileOrder) -> ExitCode:
    signature = Signature.from_json(store.version(order.model, order.options.version).signature)
    file = open_rows(order.file, signature)
    # Bars and answers must not meet on one screen.
    bars = sys.stderr.isatty() and (order.out is not None or not sys.stdout.isatty())
    with ExitStack() as stack:
        out = None if order.out is None else stack.enter_context(OutFile(order.out))
        stop = stack.enter_context(Stop())
        meter = stack.enter_context(Meter(bars=bars))
        source = file.source
        digest = source.digest(lambda: meter.reading("reading", source.read, source.size))
        request = RunRequest(order.model, order.options, digest, file.reader.format, order.run)
        run = stack.enter_context(Run(store, settings, request))
        tally = Tally() if out is None else out.resume(run.ids)
        files = FileRun(store, run, file, meter, stop)
        with files.telling():
            files.prepare()
            if out is None and order.wait is None:
                for ids in files.enqueue():
                    for job_id in ids:
                        _print_id(job_id, as_json=order.as_json)
                return ExitCode.DONE
            deliver = partial(_print_results, as_json=order.as_json) if out is None else out.append
            return _answer(files, deliver, tally, order, meter)


def _answer(files: FileRun, deliver: Deliver, tally: Tally, order: _FileOrder, meter: Meter) -> ExitCode:
    started, before = time.monotonic(), tally.rows
    files.answer(deliver, tally, order.wait)
    if order.out is not None:
        rate = (tally.rows - before) / (time.monotonic() - started)
        meter.say(f"{tally.succeeded:,} rows succeeded, {tally.failed:,} failed, {rate:,.0f} rows/s; see {order.out}")
    return ExitCode.FAILED if tally.failed else ExitCode.DONE


def _print_accepted(job: Job, *, as_json: bool) -> None:
    """The id alone on stdout, for `$(…)`; people are told the estimate beside it."""
    try:
        eta = job.eta()
    except StoreError:  # the job is safe: its id must come out, whatever has become of the store since
        eta = None
    if as_json:
        print_json({"id": job.id, "eta": eta})
        return
    echo(job.id)
    if eta is not None:
        echo(f"inferq: expected to end in about {eta:.2g} s", err=True)


def _print_id(job_id: JobId, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": job_id})
    else:
        echo(job_id)


def _print_results(results: Sequence[tuple[int, StoredResult]], *, as_json: bool) -> None:
    for _, result in results:
        _print_result(result_of(result), as_json=as_json)


def _print_result(result: Result, *, as_json: bool) -> None:
    if as_json:
        print_json(result_fields(result))
    elif result.state is State.SUCCEEDED:
        echo(f"{result.id}  {result.state}  {orjson.dumps(result.outputs).decode()}")
    else:
        echo(f"{result.id}  {result.state}  {result.error_code}: {result.error_message}")
