"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Wait = Annotated[float | None, typer.Option("--wait", min=0, metavar="S", help="Wait at most S seconds for the end.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def examples(*commands: str) -> str:
    """The end of a command's help: whole commands to copy, a line each."""
    return "\n".join(["Examples:", *commands])
