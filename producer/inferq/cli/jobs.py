"""`inferq result`."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from inferq import Client, State, WaitTimeout
from inferq.cli.options import AsJson, Wait
from inferq.cli.output import ExitCode, exit_with, print_fields, result_fields
from inferq_core.settings import load_settings
from inferq_core.store import open_store
from inferq_core.store.records import JobView


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: inferq result 01978a2e-… --wait 10 --json")(result)


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
            print_fields({"id": view.id, "state": view.state, **_unfinished(view)}, as_json=as_json)
            exit_with(ExitCode.UNFINISHED)
        print_fields(result_fields(ended), as_json=as_json)
        exit_with(ExitCode.DONE if ended.state is State.SUCCEEDED else ExitCode.FAILED)


def _unfinished(view: JobView) -> dict[str, Any]:
    return {
        "model": view.model,
        "rows": view.n_rows,
        "queue": view.queue,
        "priority": view.priority.label,
        "attempts": view.attempts,
    }
