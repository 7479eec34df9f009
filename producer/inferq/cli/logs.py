"""`inferq logs`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from typer import echo

from inferq.cli.help import JOBS, Command, examples
from inferq.cli.options import AsJsonLines, OnlyModel
from inferq.cli.output import print_json
from inferq.cli.times import iso
from inferq_core.ids import JobId, parse_job_id
from inferq_core.settings import load_settings
from inferq_core.store import open_store
from inferq_core.store.contract import Logs
from inferq_core.store.records import LogEntry


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


# Seconds between two looks for new entries: the first after there were some, and what doubling ends at.
POLL_FIRST, POLL_LAST = 0.2, 2.0
# An entry may become visible after one with a larger number: so many numbers are looked at again.
LOOK_BACK = 200


def add_to(app: typer.Typer) -> None:
    app.command(
        cls=Command,
        epilog=examples(
            "inferq logs --model digits --level error",
            "inferq logs --job 01978a2e-8a4b-7c1d-9e2f-5a6b7c8d9e0f",
            "inferq logs --follow --json",
        ),
        rich_help_panel=JOBS,
    )(logs)


def logs(
    *,
    model: OnlyModel = None,
    job: Annotated[str | None, typer.Option(metavar="ID", help="Only of this job.")] = None,
    level: Annotated[
        Level | None, typer.Option(metavar="LEVEL", help=f"Only of this level: {', '.join(Level)}.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="The newest N entries.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then go on with new entries, until Ctrl-C.")] = False,
    as_json: AsJsonLines = False,
) -> None:
    """Show what happened, the oldest first: failures, retries, recoveries, workers that came and went.

    Entries are in the store, from all processes. What a single process writes is on its own stderr; `inferq up` keeps
    that in the folder `logs` of INFERQ_HOME.
    """
    job = None if job is None else parse_job_id(job) or job
    wanted = None if level is None else level.value
    with closing(open_store(load_settings())) as store:
        newest = next((number for number, _ in store.read(limit=1)), 0)
        entries = list(store.read(job_id=job, model=model, level=wanted, limit=limit))
        if not entries and job is not None:
            store.state(JobId(job))  # an entry may name a job that never existed; without one, the job must
        if not entries and model is not None:
            store.model(model)
        if not (entries or follow or as_json):
            echo("no entries", err=True)
        for number, entry in entries:
            _print(number, entry, as_json=as_json)
        if follow:
            start = max([newest, *(number for number, _ in entries)])
            with suppress(KeyboardInterrupt):  # the way to end it
                for number, entry in _follow(store, start):
                    if job in (None, entry.job_id) and model in (None, entry.model) and wanted in (None, entry.level):
                        _print(number, entry, as_json=as_json)


def _follow(store: Logs, start: int) -> Iterator[tuple[int, LogEntry]]:
    """Entries with numbers above `start` as they come, each once. Never ends."""
    last, seen, pause = start, set[int](), POLL_FIRST
    while True:
        found = store.read_on(after=max(start, last - LOOK_BACK))
        fresh = [(number, entry) for number, entry in found if number not in seen]
        yield from fresh
        last = max([last, *(number for number, _ in found)])
        seen = {number for number in seen | {number for number, _ in fresh} if number > last - LOOK_BACK}
        pause = POLL_FIRST if fresh else min(2 * pause, POLL_LAST)
        time.sleep(pause)


def _print(number: int, entry: LogEntry, *, as_json: bool) -> None:
    at = iso(entry.at or 0)
    if as_json:
        print_json({"number": number, **asdict(entry), "at": at})
        return
    about = {"model": entry.model, "version": entry.version, "job": entry.job_id, "worker": entry.worker}
    named = {name: value for name, value in about.items() if value is not None}
    fields = " ".join(f"{name}={value}" for name, value in {**named, **entry.fields}.items())
    echo(f"{at} {entry.level:7} {entry.event}  {fields}")
