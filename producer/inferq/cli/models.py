"""`inferq models`: register, list, show, name versions, change settings."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import echo

from inferq.cli import rollouts
from inferq.cli.completion import model_names
from inferq.cli.help import Command, Group, examples
from inferq.cli.options import AsJson, Model
from inferq.cli.output import print_json
from inferq.cli.person import person
from inferq_core.errors import InvalidInput
from inferq_core.settings import load_settings
from inferq_core.signature import Signature
from inferq_core.store import open_store
from inferq_core.store.records import ModelSetting, RuntimeChoice, VersionRecord
from inferq_core.store.registry import DEFAULT_ALIAS

Queue = Annotated[
    str | None,
    typer.Option(
        metavar="QUEUE", help="Queue of the model's jobs; unset, predictions. A worker must serve it (INFERQ_QUEUES)."
    ),
]
MaxBatchRows = Annotated[
    int | None,
    typer.Option(
        metavar="ROWS", help="Rows that one call of the model takes, at the most; unset, INFERQ_MAX_BATCH_ROWS (512)."
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Time that one call may take, before its process is ended; unset, INFERQ_TIME_LIMIT (300).",
    ),
]
LatencyTarget = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Time that a batch shall take: workers put fewer rows into one that would take longer; unset, no target.",
    ),
]

MaxBacklog = Annotated[
    int | None,
    typer.Option(metavar="ROWS", help="Rows that may wait or run before more are refused; unset, any number."),
]

app = typer.Typer(
    cls=Group,
    help="""Register models, look at them, name their versions, change their settings.

    A model is a name with numbered versions that never change. An alias is a name for one of them; the alias
    `champion` is the version that answers unless a job asks for another.""",
    no_args_is_help=True,
    epilog=examples("inferq models register digits digits.skops", "inferq models show digits"),
)


@app.command(
    cls=Command,
    epilog=examples(
        "inferq models register digits digits.skops",
        "inferq models register churn churn.skops --sample customers.csv --no-promote",
    ),
)
def register(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name of the model; made when it is new.", autocompletion=model_names)
    ],
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A fitted scikit-learn estimator: .skops; .joblib and .pkl are pickles."),
    ],
    *,
    sample: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CSV with a header and some rows it was fitted on: names and kinds of its columns."
        ),
    ] = None,
    no_promote: Annotated[
        bool,
        typer.Option("--no-promote", help="Leave the alias `champion` where it is; else the new version answers."),
    ] = False,
    queue: Queue = None,
    max_batch_rows: MaxBatchRows = None,
    time_limit: TimeLimit = None,
    latency_target: LatencyTarget = None,
    max_backlog: MaxBacklog = None,
    runtime: Annotated[
        RuntimeChoice,
        typer.Option(
            metavar="RUNTIME",
            help="What predicts: sklearn, onnx, or auto, which takes onnx where it answers the same, and sooner.",
        ),
    ] = RuntimeChoice.AUTO,
    trust_type: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE", help="Approve a type in the .skops file, by its full name. Repeat it for more."),
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Load a pickle: its code runs with your rights, and the workers'.")
    ] = False,
) -> None:
    """Make the next version of a model from a file.

    It exists only if its saved form predicts what the original does. Workers use it without a restart.
    """
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
        latency_target=latency_target,
        max_backlog=max_backlog,
        promote=not no_promote,
        runtime=runtime.value,
    )
    echo(f"{version.model} version {version.number}  {version.format}  sha256:{version.digest}")
    echo(f"served by {version.runtime}: {version.runtime_reason}")


@app.command("list", cls=Command, epilog=examples("inferq models list", "inferq models list --json"))
def list_models(as_json: AsJson = False) -> None:
    """List the models: how many versions each has, and their aliases. With --json their settings too."""
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


@app.command(cls=Command, epilog=examples("inferq models show digits", "inferq models show digits --json"))
def show(name: Model, as_json: AsJson = False) -> None:
    """Show a model's settings and its versions: where they came from, the columns they take, their methods."""
    with closing(open_store(load_settings())) as store:
        model = store.model(name)
        aliases = dict(store.aliases(name))
        versions = [_described(version) for version in store.versions(name)]
    if as_json:
        print_json({**asdict(model), "aliases": aliases, "versions": versions})
        return
    for setting in ModelSetting:
        value = getattr(model, setting)
        echo(f"{setting:16} {'default' if value is None else value}")
    for version in versions:
        names = [alias for alias, number in aliases.items() if number == version["number"]]
        registered = datetime.fromtimestamp(version["created_at"], UTC).isoformat(timespec="seconds")
        echo(f"\nversion {version['number']}  {', '.join(names)}")
        echo(f"  registered     {registered}, scikit-learn {version['sklearn_version']}")
        echo(f"  artifact       {version['format']} sha256:{version['digest']}")
        reason = version["runtime_reason"]
        echo(f"  runtime        {version['runtime']}{f': {reason}' if reason else ''}")
        if version["onnx_digest"] is not None:
            echo(f"  converted      onnx sha256:{version['onnx_digest']}")
        echo(f"  takes          {version['takes']}")
        echo(f"  methods        {', '.join(version['methods'])}")


@app.command(
    cls=Command,
    epilog=examples(
        "inferq models alias digits champion 3",
        "inferq models alias digits champion challenger",
        "inferq models alias digits challenger --remove",
    ),
)
def alias(
    model: Model,
    alias: Annotated[
        str, typer.Argument(metavar="ALIAS", help="Name for one of its versions, such as champion or challenger.")
    ],
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="Number of the version, or another alias of it.")
    ] = None,
    *,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the alias away instead; jobs cannot name it any more.")
    ] = False,
) -> None:
    """Point an alias, a name, to a version of a model. Jobs that ask for no version go to `champion`.

    Jobs that wait in the queue follow it too: their version is chosen when they run.
    """
    if remove == (version is not None):
        raise InvalidInput("give a VERSION to point the alias to, or --remove")
    with closing(open_store(load_settings())) as store:
        if version is None:
            store.drop_alias(model, alias, by=person())
            echo(f"{model}: {alias} is removed")
            return
        change = store.point_alias(model, alias, version, by=person())
        split = store.rollout(model)
    was = "" if change.before in (None, change.after) else f", was {change.before}"
    echo(f"{model}: {alias} is version {change.after}{was}")
    if split is not None and alias == DEFAULT_ALIAS:
        echo(f"jobs follow the rollout, not {alias}, until `inferq models rollout {model} --end`", err=True)


@app.command(
    cls=Command,
    epilog=examples(
        "inferq models settings digits",
        "inferq models settings digits --max-batch-rows 512 --time-limit 30",
        "inferq models settings digits --default queue --default time_limit",
    ),
)
def settings(
    model: Model,
    *,
    queue: Queue = None,
    max_batch_rows: MaxBatchRows = None,
    time_limit: TimeLimit = None,
    latency_target: LatencyTarget = None,
    max_backlog: MaxBacklog = None,
    default: Annotated[
        list[ModelSetting] | None,
        typer.Option(
            metavar="SETTING", help=f"Take the default again for one of {', '.join(ModelSetting)}. Repeat it for more."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's settings, after changing those that are given as options.

    Changes count for jobs that are submitted from then on; those that wait stay in the queue they are in.
    """
    given: dict[ModelSetting, Any] = {
        ModelSetting.QUEUE: queue,
        ModelSetting.MAX_BATCH_ROWS: max_batch_rows,
        ModelSetting.TIME_LIMIT: time_limit,
        ModelSetting.LATENCY_TARGET: latency_target,
        ModelSetting.MAX_BACKLOG: max_backlog,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    for name in default or ():
        if name in changes:
            raise InvalidInput(f"{name} is given as {given[name]} and as --default: give one of them")
    changes |= dict.fromkeys(default or ())
    defaults = load_settings()
    with closing(open_store(defaults)) as store:
        record = store.change_settings(model, changes, by=person()) if changes else store.model(model)
    values = {name: getattr(record, name) for name in ModelSetting}
    if as_json:
        print_json({"name": model, **values})
        return
    for name, value in values.items():
        unset = getattr(defaults, name, "none")  # not every setting has a default
        echo(f"{name:16} {value if value is not None else f'{unset} (default)'}")


rollouts.add_to(app)


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
