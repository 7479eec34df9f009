"""`inferq jobs retry`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Annotated

import typer
from typer import echo

from inferq import ErrorCode, State
from inferq.admission import Admission
from inferq.catalog import Catalog
from inferq.cli.help import Command, examples
from inferq.cli.meter import Meter
from inferq.cli.options import AsJsonLines, OnlyModel, Since
from inferq.cli.output import print_json
from inferq.cli.room import Room
from inferq.cli.stop import Stop
from inferq.cli.times import parse_since
from inferq.intake import Intake
from inferq.job import id_of
from inferq.retrying import Choice, Retried, Retrier
from inferq_core.broker import Publisher
from inferq_core.errors import BacklogFull, InferqError, Interrupted, InvalidInput
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
    it was interrupted. Queued and running jobs are refused. Where a model's backlog is full, this waits for room.
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
        admission = Admission(store, settings, catalog.max_backlog)
        intake = Intake(store, publisher, catalog.limits, admission.count)
        retrier = Retrier(store, catalog, intake, admission, lambda: None)
        pages = retrier.matching(choice) if choice is not None else iter([_ended(store, job_ids or [])])
        with Stop() as stop, Meter(bars=sys.stderr.isatty() and not sys.stdout.isatty()) as meter:
            room = Room(store, meter, stop)
            steps = _planned(store, pages) if dry_run else _retried(retrier, pages, room)
            _Work(meter, stop, dry_run=dry_run, as_json=as_json).run(steps)


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


def _retried(retrier: Retrier, pages: Iterator[list[JobId]], room: Room) -> Iterator[list[Retried]]:
    for page in pages:
        left = page
        while left:
            step = room.enter(partial(retrier.retry_some, left))
            yield step
            left = left[len(step) :]


def _planned(store: Store, pages: Iterator[list[JobId]]) -> Iterator[list[Retried]]:
    for page in pages:
        known = store.retries(page)
        yield [Retried(job_id, known.get(job_id, job_id), job_id not in known) for job_id in page]


class _Work:
    """Counts and prints what is done."""

    def __init__(self, meter: Meter, stop: Stop, *, dry_run: bool, as_json: bool) -> None:
        self._meter = meter
        self._stop = stop
        self._dry_run = dry_run
        self._as_json = as_json
        self._verb = "would be retried" if dry_run else "retried"
        self._fresh = self._before = 0

    def run(self, steps: Iterator[list[Retried]]) -> None:
        try:
            for step in steps:
                self._take(step)
                if self._stop.requested:
                    raise Interrupted("interrupted")
        except InferqError as error:
            goes_on = "" if isinstance(error, BacklogFull) else "; the same command goes on"
            error.args = (f"{error}. {self._fresh:,} jobs {self._verb} so far{goes_on}",)
            raise
        jobs, before = "job" if self._fresh == 1 else "jobs", f", {self._before:,} before" if self._before else ""
        self._meter.say(f"{self._fresh:,} {jobs} {self._verb}{before}")

    def _take(self, step: list[Retried]) -> None:
        for retried in step:
            _print(retried, dry_run=self._dry_run, as_json=self._as_json)
        self._fresh += sum(retried.fresh for retried in step)
        self._before += sum(not retried.fresh for retried in step)
        self._meter.counting(f"{self._fresh:,} jobs {self._verb}")


def _print(retried: Retried, *, dry_run: bool, as_json: bool) -> None:
    new = None if dry_run and retried.fresh else retried.new
    if as_json:
        print_json({"id": retried.old, "retried_as": new, "fresh": retried.fresh})
    elif not retried.fresh:
        echo(f"{retried.old}  was retried before, as {new}")
    else:
        echo(f"{retried.old}  would be retried" if new is None else f"{retried.old}  retried as {new}")
