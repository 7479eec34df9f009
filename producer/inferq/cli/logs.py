"""`inferq logs`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from typer import echo

from inferq.cli.options import AsJsonLines
from inferq.cli.output import print_json
from inferq_core.errors import InvalidInput
from inferq_core.settings import load_settings
from inferq_core.store import open_store

LEVELS = ("info", "warning", "error")


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: inferq logs --model digits --level error")(logs)


def logs(
    job: Annotated[str | None, typer.Option(help="Only of this job.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    level: Annotated[str | None, typer.Option(help="Only of this level: info, warning or error.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 200,
    as_json: AsJsonLines = False,
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
