"""`inferq models`: register, list and show."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import echo

from inferq.cli.options import AsJson
from inferq.cli.output import print_json
from inferq_core.settings import load_settings
from inferq_core.signature import Signature
from inferq_core.store import open_store
from inferq_core.store.records import VersionRecord

app = typer.Typer(help="Register models and look at them.", no_args_is_help=True)


@app.command(
    epilog="Example: inferq models register churn churn.skops --sample customers.csv --max-batch-rows 512",
)
def register(
    name: Annotated[str, typer.Argument(help="Name of the model; made when it is new.")],
    file: Annotated[Path, typer.Argument(help="A .skops file; .joblib and .pkl need --trust-pickle.")],
    *,
    sample: Annotated[
        Path | None, typer.Option(help="CSV of some rows it was fitted on: names and kinds of its columns.")
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Load this pickle: its code runs with your rights, and the workers'.")
    ] = False,
    trust_type: Annotated[
        list[str] | None, typer.Option(help="Approve a type in the .skops file, by its full name; repeat it.")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="Queue of the model's jobs.")] = None,
    max_batch_rows: Annotated[int | None, typer.Option(min=1, help="Rows of a batch at the most.")] = None,
    time_limit: Annotated[float | None, typer.Option(min=0.001, help="Seconds that a batch may take.")] = None,
    promote: Annotated[bool, typer.Option(help="Point the alias `champion` to the new version.")] = True,
) -> None:
    """Make an immutable, numbered version of a model from a file."""
    from inferq_models import register_file

    version = register_file(
        name,
        file,
        sample=sample,
        trust_pickle=trust_pickle,
        trust_types=tuple(trust_type or ()),
        settings=load_settings(),
        queue=queue,
        max_batch_rows=max_batch_rows,
        time_limit=time_limit,
        promote=promote,
    )
    echo(f"{version.model} version {version.number}  {version.format}  sha256:{version.digest}")


@app.command("list", epilog="Example: inferq models list --json")
def list_models(as_json: AsJson = False) -> None:
    """List the models with their settings, newest version and aliases."""
    with closing(open_store(load_settings())) as store:
        rows = [
            {
                **asdict(model),
                "versions": len(store.versions(model.name)),
                "aliases": dict(store.aliases(model.name)),
            }
            for model in store.models()
        ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        aliases = ", ".join(f"{alias}={number}" for alias, number in row["aliases"].items())
        echo(f"{row['name']:24} {row['versions']} version{'s' if row['versions'] != 1 else ''}  {aliases}")
    if not rows:
        echo("no models yet: inferq models register NAME FILE")


@app.command(epilog="Example: inferq models show digits")
def show(name: Annotated[str, typer.Argument(help="Name of the model.")], as_json: AsJson = False) -> None:
    """Show a model's settings, versions and what they take."""
    with closing(open_store(load_settings())) as store:
        model = store.model(name)
        aliases = dict(store.aliases(name))
        versions = [_described(version) for version in store.versions(name)]
    if as_json:
        print_json({**asdict(model), "aliases": aliases, "versions": versions})
        return
    for setting in ("queue", "max_batch_rows", "time_limit"):
        value = getattr(model, setting)
        echo(f"{setting:16} {'default' if value is None else value}")
    for version in versions:
        names = [alias for alias, number in aliases.items() if number == version["number"]]
        registered = datetime.fromtimestamp(version["created_at"], UTC).isoformat(timespec="seconds")
        echo(f"\nversion {version['number']}  {', '.join(names)}")
        echo(f"  registered     {registered}, scikit-learn {version['sklearn_version']}")
        echo(f"  artifact       {version['format']} sha256:{version['digest']}")
        echo(f"  takes          {version['takes']}")
        echo(f"  methods        {', '.join(version['methods'])}")


def _described(version: VersionRecord) -> dict[str, Any]:
    signature = Signature.from_json(version.signature)
    names = ", ".join(signature.names[:10]) + (", …" if len(signature.names) > 10 else "")  # noqa: PLR2004
    count = len(signature.columns)
    fields = asdict(version)
    del fields["signature"]
    return {
        **fields,
        "takes": f"{count} column{'' if count == 1 else 's'} ({signature.layout}){': ' + names if names else ''}",
        "methods": list(signature.methods),
    }
