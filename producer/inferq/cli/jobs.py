"""`inferq result` and `inferq jobs`: what became of jobs, and taking them back."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated, Any

import typer
from typer import echo

from inferq import Client, State, WaitTimeout
from inferq.cli import retry
from inferq.cli.help import JOBS, Command, Group, examples
from inferq.cli.options import AsJson, AsJsonLines, JobId, OnlyModel, Since, Wait
from inferq.cli.output import ExitCode, exit_with, print_fields, print_json, print_table, result_fields
from inferq.cli.timeline import Moment, timeline
from inferq.cli.times import duration, iso, parse_since
from inferq.job import id_of
from inferq_core.settings import load_settings
from inferq_core.store import open_store
from inferq_core.store.records import JobLife, JobRow, JobView

# Log entries that one job's timeline shows.
MAX_ENTRIES = 200
STATES = ", ".join(State)

jobs = typer.Typer(
    cls=Group,
    help="""List jobs, look at one job's life, take jobs back, run them once more.

    A job is one request: rows for one model, and an id.""",
    no_args_is_help=True,
    epilog=examples(
        "inferq jobs list --state failed --since 1h",
        "inferq jobs show 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f",
    ),
)


def add_to(app: typer.Typer) -> None:
    app.command(
        cls=Command,
        epilog=examples(
            "inferq result 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f",
            "inferq result 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f --wait 10 --json",
        ),
        rich_help_panel=JOBS,
    )(result)
    retry.add_to(jobs)
    app.add_typer(jobs, name="jobs", rich_help_panel=JOBS)


def result(
    job_id: JobId,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of a job, and its outputs when it has ended.

    The exit code is 0 when it succeeded, 5 when it is still queued or running, and 1 when it ended without outputs:
    failed, expired or cancelled.
    """
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


@jobs.command(
    "list",
    cls=Command,
    epilog=examples(
        "inferq jobs list",
        "inferq jobs list --model digits --state failed --since 2h",
        "inferq jobs list --limit 500 --json",
    ),
)
def list_jobs(
    *,
    model: OnlyModel = None,
    state: Annotated[State | None, typer.Option(metavar="STATE", help=f"Only in this state: {STATES}.")] = None,
    since: Since = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only older than this job: with the last id of one list, the next goes on."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="The newest N jobs.")] = 50,
    as_json: AsJsonLines = False,
) -> None:
    """List jobs, the newest first.

    It is quick however many jobs there are: it passes over 50,000 jobs that do not match at the most, and says so then.
    """
    earliest = None if since is None else parse_since(since, time.time())
    with closing(open_store(load_settings())) as store:
        if model is not None:
            store.model(model)
        page = store.newest(
            model=model, state=state, since=earliest, before=None if before is None else id_of(before), limit=limit
        )
        now = store.now()
    if as_json:
        for job in page.jobs:
            print_json(_listed(job))
    elif page.jobs:
        print_table(
            ("ID", "STATE", "MODEL", "ROWS", "PRIORITY", "AGE", "TOOK", ""), [_cells(job, now) for job in page.jobs]
        )
    else:
        echo("no jobs", err=True)
    if page.reached is not None and len(page.jobs) < limit:
        echo(f"inferq: stopped looking at job {page.reached}; --before {page.reached} goes on", err=True)


@jobs.command(
    cls=Command,
    epilog=examples(
        "inferq jobs show 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f",
        "inferq jobs show 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f --inputs --json",
    ),
)
def show(
    job_id: JobId,
    *,
    inputs: Annotated[bool, typer.Option("--inputs", help="Show the rows that were submitted too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one job's life: when it was accepted, taken by a worker, predicted and stored, and what was logged."""
    with closing(open_store(load_settings())) as store:
        life = store.life(id_of(job_id))
        logs = [entry for _, entry in store.read(job_id=life.view.id, limit=MAX_ENTRIES)]
        rows = store.inputs(life.view.id) if inputs else None
    moments = timeline(life, logs)
    fields = _described(life) | ({"inputs": rows} if inputs else {})
    if as_json:
        print_json(fields | {"timeline": [_moment(moment, life.view.created_at) for moment in moments]})
        return
    print_fields(fields, as_json=False)
    echo()
    for moment in moments:
        after = f"+{duration(moment.at - life.view.created_at)}"
        echo(f"{iso(moment.at)}  {after:>12}  {moment.event:12}  {moment.detail}".rstrip())


@jobs.command(
    cls=Command,
    epilog=examples(
        "inferq jobs cancel 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f",
        "inferq jobs cancel $(inferq jobs list --state queued --json | jq -r .id)",
    ),
)
def cancel(
    job_ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of jobs, as `inferq submit` printed them.")],
    as_json: AsJsonLines = False,
) -> None:
    """Take jobs back: queued ones never run, the answers of running ones are dropped.

    Jobs that have ended stay as they are, and the exit code is 1 then. An unknown id cancels nothing.
    """
    settings = load_settings()
    with closing(open_store(settings)) as store, Client(settings, store=store) as client:
        ids = list(dict.fromkeys(client.job(job_id).id for job_id in job_ids))
        before = client.cancel_many(ids)
    for job_id in ids:
        state = before[job_id]
        if as_json:
            print_json({"id": job_id, "cancelled": not state.terminal, "before": state})
        elif state.terminal:
            echo(f"{job_id}  {state} already")
        else:
            echo(f"{job_id}  cancelled, was {state}")
    late = any(state.terminal and state is not State.CANCELLED for state in before.values())
    exit_with(ExitCode.FAILED if late else ExitCode.DONE)


def _unfinished(view: JobView) -> dict[str, Any]:
    return {
        "model": view.model,
        "rows": view.n_rows,
        "queue": view.queue,
        "priority": view.priority.label,
        "attempts": view.attempts,
    }


def _listed(job: JobRow) -> dict[str, Any]:
    fields = {
        "id": job.id,
        "state": job.state,
        "model": job.model,
        "version": job.version,
        "rows": job.n_rows,
        "queue": job.queue,
        "priority": job.priority.label,
        "attempts": job.attempts,
        "created_at": iso(job.created_at),
        "completed_at": None if job.completed_at is None else iso(job.completed_at),
        "error_code": job.error_code,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _cells(job: JobRow, now: float) -> tuple[str, ...]:
    took = "" if job.completed_at is None else duration(job.completed_at - job.created_at)
    model = job.model if job.version is None else f"{job.model} {job.version}"
    age = duration(max(now - job.created_at, 0.0))
    return (job.id, job.state, model, str(job.n_rows), job.priority.label, age, took, job.error_code or "")


def _described(life: JobLife) -> dict[str, Any]:
    view, ended = life.view, life.result
    fields: dict[str, Any] = {
        "id": view.id,
        "state": view.state,
        **_unfinished(view),
        "method": view.method,
        "asked_for": view.version,
        "version": None if ended is None else ended.version,
        "variant": None if ended is None else ended.variant,
        "outputs": None if ended is None else ended.outputs,
        "error_code": None if ended is None else ended.error_code,
        "error_message": None if ended is None else ended.error_message,
        "lease_until": None if life.holding is None else iso(life.holding.lease_until),
        "idempotency_key": life.idempotency_key,
        "routing_key": life.routing_key,
        "traceparent": life.traceparent,
        "retry_of": life.retry_of,
        "retried_as": life.retried_as,
        "metadata": view.metadata,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _moment(moment: Moment, start: float) -> dict[str, Any]:
    fields = {"at": iso(moment.at), "after": round(moment.at - start, 6), "event": moment.event}
    return fields | ({"detail": moment.detail} if moment.detail else {})
