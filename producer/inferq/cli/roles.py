"""`inferq db roles`."""

from __future__ import annotations

import typer
from typer import echo

from inferq.cli.help import Command, examples
from inferq_core.settings import load_settings
from inferq_core.store.roles import roles_sql


def add_to(app: typer.Typer) -> None:
    app.command(cls=Command, epilog=examples("inferq db roles", "inferq db roles | psql --dbname inferq"))(roles)


def roles() -> None:
    r"""Print the SQL that makes the PostgreSQL roles of applications and workers; it changes nothing itself.

    `inferq_submit` submits jobs and reads, `inferq_worker` predicts, and the owner of the tables does the rest. Run it
    after each `inferq db upgrade`, and give the roles passwords in psql, with \password.
    """
    load_settings()  # a wrong one is said by every command
    echo(roles_sql())
