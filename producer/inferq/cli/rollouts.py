"""`inferq models rollout`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import Annotated

import typer
from typer import echo

from inferq.cli.help import Command, examples
from inferq.cli.options import AsJson, Model
from inferq.cli.output import print_json
from inferq.cli.person import person
from inferq_core.errors import InvalidInput
from inferq_core.rollout import WHOLE
from inferq_core.settings import load_settings
from inferq_core.store import open_store


def add_to(app: typer.Typer) -> None:
    lines = examples(
        "inferq models rollout digits",
        "inferq models rollout digits 4 --weight 50",
        "inferq models rollout digits --end",
    )
    app.command("rollout", cls=Command, epilog=lines)(_rollout)


def _rollout(
    model: Model,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="The canary: number of the version, or an alias of it.")
    ] = None,
    *,
    weight: Annotated[
        int | None,
        typer.Option(metavar="PARTS", help=f"How much the canary gets, of {WHOLE} parts.", show_default="as it is"),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End it: the champion answers alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a model's jobs are split over two versions, after giving the canary a share of them.

    It counts within a second or two for jobs that name no version, those that wait in the queue too. Jobs of one
    routing key meet the same variant; a canary that gets more keeps those it had.
    """
    if end and (version, weight) != (None, None):
        raise InvalidInput("give --end alone, or a VERSION and its --weight")
    with closing(open_store(load_settings())) as store:
        current = store.model(model) and store.rollout(model)
        if end:
            store.end_rollout(model, by=person())
            current = None
        elif (version, weight) != (None, None):
            if current is None and None in (version, weight):
                raise InvalidInput(f"model {model!r} has no rollout yet: give a VERSION and its --weight")
            tried = str(current.canary.version) if version is None and current else str(version)
            share = current.canary.weight if weight is None and current else weight or 0
            current = store.put_rollout(model, tried, share, by=person())
        history = store.rollout_events(model)
    variants = [asdict(variant) for variant in (current.variants if current else ())]
    if as_json:
        print_json({"model": model, "variants": variants, "history": [asdict(event) for event in history]})
        return
    for variant in variants:
        echo(f"{variant['role']:8} version {variant['version']}  {variant['weight'] / WHOLE:.1%}")
    if not variants:
        echo("no rollout: the champion answers alone")
