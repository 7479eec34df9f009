"""`inferq keys`."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer
from typer import echo

from inferq.cli.help import Command, Group, examples
from inferq.cli.options import AsJson
from inferq.cli.output import print_json, print_table
from inferq.cli.times import iso
from inferq.options import MAX_KEY, is_text
from inferq_core.errors import InvalidInput
from inferq_core.keys import digest_of, new_key
from inferq_core.policy.rate import RateLimit
from inferq_core.settings import load_settings
from inferq_core.store import open_store
from inferq_core.store.records import KeyRecord, KeyScope, NewKey

app = typer.Typer(
    cls=Group,
    help="""Make, list and revoke the keys of the HTTP gateway.

    While no key was ever made, the gateway serves this machine only, without any. From the first key on, every request
    needs one, and the gateway may listen on other addresses.""",
    no_args_is_help=True,
    epilog=examples("inferq keys create shop", "inferq keys list"),
)


@app.command(
    cls=Command,
    epilog=examples(
        "inferq keys create shop --rate 100/s --burst 200",
        "inferq keys create labels --scope read --scope feedback --model 'digits*'",
    ),
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    *,
    scope: Annotated[
        list[KeyScope] | None,
        typer.Option(
            metavar="SCOPE",
            help="What it may: submit (and see its own), read (see those of others), feedback, admin (all). Several "
            "times for several.",
            show_default="submit",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only these models; * and ? as in names of files.", show_default="every model"
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Requests that it may send: 100/s, 600/m, 1000/h. Each counts as one, whatever it asks.",
            show_default="any number",
        ),
    ] = None,
    burst: Annotated[
        int | None,
        typer.Option(metavar="REQUESTS", help="How many of them at once.", show_default="the number in --rate"),
    ] = None,
) -> None:
    """Make a key and print it, once: the store has only what it takes to recognize it."""
    if not is_text(name) or len(name) > MAX_KEY:
        raise InvalidInput(f"NAME {name!r}: give a name of 1 to {MAX_KEY} characters")
    for pattern in model or ():
        if not is_text(pattern):
            raise InvalidInput(f"--model {pattern!r}: give the name of a model, or a pattern")
    if rate is None and burst is not None:
        raise InvalidInput(f"--burst {burst}: give a --rate, too")
    limit = None if rate is None else RateLimit.parse(rate, burst)
    key_id, text = new_key()
    scopes = list(dict.fromkeys(scope or [KeyScope.SUBMIT]))
    with closing(open_store(load_settings())) as store:
        store.add_key(NewKey(key_id, name, digest_of(text), scopes, model or None, limit))
    echo(text)
    echo("it is not shown again; send it as `Authorization: Bearer …`", err=True)


@app.command("list", cls=Command, epilog=examples("inferq keys list", "inferq keys list --json"))
def list_keys(as_json: AsJson = False) -> None:
    """List the keys, revoked ones too: what each may, and the id to revoke it by."""
    with closing(open_store(load_settings())) as store:
        rows = [_described(record) for record in store.all_keys()]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(
            ("id", "name", "scopes", "models", "rate", "burst", "created", "revoked"),
            [
                (
                    row["id"],
                    row["name"],
                    ",".join(row["scopes"]),
                    ",".join(row["models"] or ["*"]),
                    row["rate"] or "any",
                    "" if row["burst"] is None else str(row["burst"]),
                    iso(row["created_at"]),
                    "" if row["revoked_at"] is None else iso(row["revoked_at"]),
                )
                for row in rows
            ],
        )
    else:
        echo("no keys yet: inferq keys create NAME")


@app.command(cls=Command, epilog=examples("inferq keys revoke 4f1c09d2ab37"))
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `inferq keys list` shows it.")],
) -> None:
    """Make a key good for nothing. Gateways that know it take it for two seconds more."""
    with closing(open_store(load_settings())) as store:
        record = store.revoke_key(key_id)
    echo(f"{record.id} ({record.name}) is revoked")


def _described(record: KeyRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "scopes": sorted(record.scopes),
        "models": record.models,
        "rate": None if record.limit is None else str(record.limit),
        "burst": None if record.limit is None else record.limit.burst,
        "created_at": record.created_at,
        "revoked_at": record.revoked_at,
    }
