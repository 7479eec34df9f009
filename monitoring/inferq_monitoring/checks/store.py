"""Whether the store answers, has all migrations, and agrees with this machine about the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from inferq_core.errors import StoreError
from inferq_core.settings import Settings, redact
from inferq_core.store.engine import Database, parse_url
from inferq_core.store.opening import require_host, schema_revision
from inferq_core.store.tables import SCHEMA_REVISION
from inferq_monitoring.findings import Finding, fail, ok, skipped, warn

# Seconds between the database's clock and this machine's above which times that people read are wrong.
CLOCK_TOLERANCE = 2.0


def check_store(settings: Settings) -> list[Finding]:
    """Whether it can be read. Makes no database, and migrates none."""
    shown = redact(settings.store)
    database = Database(settings.store)
    if database.is_sqlite and not Path(str(parse_url(settings.store).database)).exists():
        return [fail("store", f"{shown} does not exist yet", "`inferq up` makes it, and so does the first submit")]
    with closing(database):
        try:
            database.read(lambda connection: require_host(connection, database.shown))
            revision = database.read(schema_revision)
        except StoreError as error:
            return [fail("store", str(error), "start the database, or correct INFERQ_STORE_URL")]
    return [ok("store", f"{shown} answers"), judge_revision(revision)]


def judge_revision(revision: str | None) -> Finding:
    if revision is None or int(revision) < int(SCHEMA_REVISION):
        return fail(
            "migrations",
            f"the schema is {revision or 'missing'}, this version needs {SCHEMA_REVISION}",
            "run `inferq db upgrade`",
        )
    if int(revision) > int(SCHEMA_REVISION):
        return warn(
            "migrations",
            f"the schema is {revision}, newer than the {SCHEMA_REVISION} of this version",
            "upgrade inferq here too",
        )
    return ok("migrations", f"the schema is {revision}, the newest")


def check_clock(now: Callable[[], float]) -> list[Finding]:
    """Compare the database's clock, which `now` reads, with this machine's."""
    before = time.time()
    theirs = now()
    after = time.time()
    return [judge_clock(theirs - (before + after) / 2, (after - before) / 2)]


def judge_clock(difference: float, uncertainty: float) -> Finding:
    """`difference`: seconds by which the database is ahead, give or take `uncertainty`."""
    if abs(difference) <= CLOCK_TOLERANCE:
        return ok("clock", f"this machine and the database differ by {abs(difference) * 1000:.0f} ms")
    if abs(difference) - uncertainty <= CLOCK_TOLERANCE:
        return skipped("clock", f"the database took {2 * uncertainty:.1f} s to answer: too long to compare the clocks")
    direction = "behind" if difference > 0 else "ahead of"
    return warn(
        "clock",
        f"this machine is {abs(difference):.1f} s {direction} the database",
        "let NTP set both clocks; deadlines and leases follow the database's",
    )
