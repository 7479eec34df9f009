"""How `--help` looks: for people who run commands, and not for those who write them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup

# The parts into which `inferq --help` divides the commands.
START = "Start here"
JOBS = "Jobs"
UPKEEP = "Models and store"
ROLES = "Processes, one by one"


class Command(TyperCommand):
    """A command whose help shows paragraphs as wide as the screen, and no names of Python's types."""

    def __init__(self, name: str | None, *, help: str | None = None, **options: Any) -> None:  # noqa: A002
        super().__init__(name, help=_reflowed(help), **options)

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return _usage(self.get_params(ctx))


class Group(TyperGroup):
    """The same for a group of commands."""

    def __init__(self, *, help: str | None = None, **options: Any) -> None:  # noqa: A002
        super().__init__(help=_reflowed(help), **options)

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*_usage(self.get_params(ctx)), "COMMAND ..."]


def examples(*commands: str) -> str:
    """The end of a command's help: whole commands to copy, a line each."""
    return "\n".join(["Examples:" if len(commands) > 1 else "Example:", *commands])


def _reflowed(text: str | None) -> str | None:
    """Typer keeps the line ends of all paragraphs but the first, which are those of the source."""
    if text is None:
        return None
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def _without_types(params: Iterable[Any]) -> list[Any]:
    """Options that take a value have a metavar; flags and arguments need nothing beside their name."""
    params = list(params)
    for param in params:
        if isinstance(param, TyperArgument) or param.is_flag:
            param.display_type_rich = lambda ctx: ""  # noqa: ARG005
    return params


def _usage(params: Iterable[Any]) -> list[str]:
    """What a usage line says after the command: MODEL, [VERSION], ID..., as manuals write it."""
    pieces = ["[OPTIONS]"]
    for param in params:
        if isinstance(param, TyperArgument):
            name = f"{param.metavar}{'...' if param.nargs != 1 else ''}"
            pieces.append(name if param.required else f"[{name}]")
    return pieces
