"""`inferq db stats`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict

import typer
from typer import echo

from inferq.cli.help import Command, examples
from inferq.cli.options import AsJson
from inferq.cli.output import print_fields, print_json, print_table
from inferq.cli.times import duration
from inferq_core.settings import load_settings, redact
from inferq_core.store import open_store

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000


def add_to(app: typer.Typer) -> None:
    app.command(cls=Command, epilog=examples("inferq db stats", "inferq db stats --json"))(stats)


def stats(as_json: AsJson = False) -> None:
    """Show how much is in the store: rows and sizes of its tables, jobs by state, what waits in queues.

    It is quick: what would take long to count is estimated, and marked with ~.
    """
    settings = load_settings()
    with closing(open_store(settings)) as store:
        found = store.stats()
    if as_json:
        print_json({"store": redact(settings.store), **asdict(found)})
        return
    fields = {
        "store": redact(settings.store),
        "database": f"{found.dialect} {found.server}",
        "store id": found.store_id,
        "schema": found.schema,
        "size": size(found.bytes),
    }
    print_fields(fields, as_json=False)
    echo()
    estimated = {table.name: "" if table.exact else "~" for table in found.tables}
    print_table(
        ("TABLE", "ROWS", "SIZE"),
        [
            (table.name, f"{estimated[table.name]}{table.rows:,}", "" if table.bytes is None else size(table.bytes))
            for table in found.tables
        ],
    )
    echo()
    marks = {"succeeded": estimated["results"]}
    print_table(("JOBS", ""), [(state, f"{marks.get(state, '')}{n:,}") for state, n in found.jobs.items()])
    if found.backlog:
        echo()
        print_table(
            ("QUEUE", "QUEUED", "ROWS", "RUNNING", "OLDEST"),
            [
                (
                    queue.queue,
                    f"{queue.queued_jobs:,}",
                    f"{queue.queued_rows:,}",
                    f"{queue.running_jobs:,}",
                    "" if queue.oldest_seconds is None else duration(queue.oldest_seconds),
                )
                for queue in found.backlog
            ],
        )


def size(n_bytes: float) -> str:
    """Three digits that matter, in powers of 1000."""
    unit = 0
    while n_bytes >= _STEP and unit < len(_UNITS) - 1:
        n_bytes /= _STEP
        unit += 1
    return f"{n_bytes:.3g} {_UNITS[unit]}"
