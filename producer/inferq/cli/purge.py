"""`inferq db purge`."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from typing import Annotated

import typer
from typer import echo

from inferq.cli.help import Command, examples
from inferq.cli.meter import Meter
from inferq.cli.options import AsJson
from inferq.cli.output import print_json, print_table
from inferq.cli.stop import Stop
from inferq.cli.times import iso, parse_age
from inferq_core.errors import Interrupted, InvalidInput
from inferq_core.settings import DAY, Settings, load_settings
from inferq_core.store import open_store
from inferq_core.store.contract import Store


def add_to(app: typer.Typer) -> None:
    app.command(
        cls=Command,
        epilog=examples("inferq db purge --older-than 30d --dry-run", "inferq db purge --older-than 30d"),
    )(purge)


def purge(
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Delete what ended longer ago than this: 12h, 30d or 8w.",
            show_default="INFERQ_RETENTION_DAYS",
        ),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete old jobs for good: their rows, results, feedback and idempotency keys, old batches and logs.

    What counts is when a job ended; queued and running jobs stay, however old they are. The id of a purged job is
    unknown from then on. Workers may work meanwhile. Ctrl-C stops it, and the same command goes on. With
    INFERQ_RETENTION_DAYS set, the keeper does it by itself.
    """
    settings = load_settings()
    age = _age(older_than, settings)
    with closing(open_store(settings)) as store:
        before = max(store.now() - age, 0.0)
        rows = Counter(store.purgeable(before=before)) if dry_run else _purge(store, before)
    if as_json:
        print_json({"before": iso(before), "dry_run": dry_run, "rows": dict(rows)})
    elif rows.total() == 0:
        echo(f"nothing ended before {iso(before)}")
    else:
        head = "WOULD BE DELETED" if dry_run else "DELETED"
        print_table(("TABLE", head), [(table, f"{n:,}") for table, n in sorted(rows.items()) if n])


def _age(older_than: str | None, settings: Settings) -> float:
    """Seconds."""
    if older_than is not None:
        return parse_age("--older-than", older_than)
    if settings.retention_days is None:
        raise InvalidInput("give --older-than, such as --older-than 30d, or set INFERQ_RETENTION_DAYS")
    return settings.retention_days * DAY


def _purge(store: Store, before: float) -> Counter[str]:
    rows: Counter[str] = Counter()
    with Stop() as stop, Meter(bars=sys.stderr.isatty()) as meter:
        for step in store.purge(before=before):
            rows.update(step)
            meter.counting(f"{rows['jobs']:,} jobs deleted")
            if stop.requested:
                raise Interrupted(f"{rows['jobs']:,} jobs deleted so far; the same command goes on")
    return rows
