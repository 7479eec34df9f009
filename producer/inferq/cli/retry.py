"""`inferq jobs retry`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Annotated

import typer
from typer import echo

from inferq import ErrorCode, State
from inferq.catalog import Catalog
from inferq.cli.help import Command, examples
from inferq.cli.meter import Meter
from inferq.cli.options import AsJsonLines, OnlyModel, Since
from inferq.cli.output import print_json
from inferq.cli.stop import Stop
from inferq.cli.times import parse_since
from inferq.intake import Intake
from inferq.job import id_of
from inferq.retrying import Choice, Retried, Retrier
from inferq_core.broker import Publisher
from inferq_core.errors import Interrupted, InvalidInput
from inferq_core.ids import JobId
from inferq_core.settings import load_settings
from inferq_core.store import open_store
from inferq_core.store.contract import Store
from inferq_core.store.jobs import unknown_job
from inferq_core.store.retrying import unfinished

ENDED = ", ".join(state for state in State if state.terminal)


def add_to(jobs: typer.Typer) -> None:
    jobs.command(
        cls=Command,
        epilog=examples(
            "inferq jobs retry 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f",
            "inferq jobs retry --state failed --code worker_lost --since 2h --dry-run",
        ),
    )(retry)


def retry(
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Ids of jobs that have ended.", show_default=False)
    ] = None,
    *,
    state: Annotated[
        State | None, typer.Option(metavar="STATE", help=f"Instead of ids: all jobs that ended like this: {ENDED}.")
    ] = None,
    code: Annotated[
        ErrorCode | None,
        typer.Option(metavar="CODE", help=f"With --state: only with this error code: {', '.join(ErrorCode)}."),
    ] = None,
    model: OnlyModel = None,
    since: Since = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which jobs these are.")] = False,
    as_json: AsJsonLines = False,
) -> None:
    """Run jobs once more: each becomes a new job of the same rows and options. The old ones stay as they are.

    A job is retried once. Those that were retried before are left out with --state, and answered with the job that they
    became when they are named; when that failed, too, it can be retried in its turn. So the same command goes on where
    it was interrupted. Queued and running jobs are refused.
    """
    if bool(job_ids) == (state is not None):
        raise InvalidInput("give ids of jobs, or a --state such as --state failed")
    if state is None and (code, model, since) != (None, None, None):
        raise InvalidInput("--code, --model and --since go with --state")
    if state is not None and not state.terminal:
        raise InvalidInput(f"--state {state}: only jobs that have ended are retried: give {ENDED}")
    settings = load_settings()
    choice = None
    if state is not None:
        choice = Choice(state, model, None if since is None else parse_since(since, time.time()), code)
    with closing(open_store(settings)) as store, closing(Publisher(settings.broker)) as publisher:
        if model is not None:
            store.model(model)
        catalog = Catalog(store, settings)
        retrier = Retrier(store, catalog, Intake(store, publisher, catalog.limits), lambda: None)
        pages = retrier.matching(choice) if choice is not None else iter([_ended(store, job_ids or [])])
        _work(_planned(store, pages) if dry_run else _retried(retrier, pages), dry_run=dry_run, as_json=as_json)


def _ended(store: Store, job_ids: Sequence[str]) -> list[JobId]:
    """The ids. Raises UnknownJob and JobUnfinished, before anything is retried."""
    ids = list(dict.fromkeys(map(id_of, job_ids)))
    states = store.states(ids)
    for job_id in ids:
        if job_id not in states:
            raise unknown_job(job_id)
        if not states[job_id].terminal:
            raise unfinished(job_id, states[job_id])
    return ids


def _retried(retrier: Retrier, pages: Iterator[list[JobId]]) -> Iterator[list[Retried]]:
    for page in pages:
        yield from retrier.retry(page)


def _planned(store: Store, pages: Iterator[list[JobId]]) -> Iterator[list[Retried]]:
    for page in pages:
        known = store.retries(page)
        yield [Retried(job_id, known.get(job_id, job_id), job_id not in known) for job_id in page]


def _work(steps: Iterator[list[Retried]], *, dry_run: bool, as_json: bool) -> None:
    fresh = before = 0
    verb = "would be retried" if dry_run else "retried"
    bars = sys.stderr.isatty() and not sys.stdout.isatty()
    with Stop() as stop, Meter(bars=bars) as meter:
        for step in steps:
            for retried in step:
                _print(retried, dry_run=dry_run, as_json=as_json)
            fresh += sum(retried.fresh for retried in step)
            before += sum(not retried.fresh for retried in step)
            meter.counting(f"{fresh:,} jobs {verb}")
            if stop.requested:
                raise Interrupted(f"{fresh:,} jobs {verb} so far; the same command goes on")
        meter.say(f"{fresh:,} {'job' if fresh == 1 else 'jobs'} {verb}" + (f", {before:,} before" if before else ""))


def _print(retried: Retried, *, dry_run: bool, as_json: bool) -> None:
    new = None if dry_run and retried.fresh else retried.new
    if as_json:
        print_json({"id": retried.old, "retried_as": new, "fresh": retried.fresh})
    elif not retried.fresh:
        echo(f"{retried.old}  was retried before, as {new}")
    else:
        echo(f"{retried.old}  would be retried" if new is None else f"{retried.old}  retried as {new}")
