"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from inferq.cli.completion import model_names

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as `inferq submit` printed it.")]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Name of a registered model; `inferq models list` shows them.", autocompletion=model_names
    ),
]
OnlyModel = Annotated[
    str | None, typer.Option("--model", metavar="MODEL", help="Only of this model.", autocompletion=model_names)
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="Only submitted since then: 90s, 30m, 2h, 7d or 1w ago, or a date or time (2026-01-31T12:00; UTC unless "
        "it names a zone).",
    ),
]
Wait = Annotated[
    float | None,
    typer.Option(
        "--wait", min=0, metavar="SECONDS", help="Wait so long for the end, at the most.", show_default="no waiting"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: one document.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print JSON: one object a line.")]
