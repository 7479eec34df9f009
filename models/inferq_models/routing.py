"""Which version answers a job. A function of values: the store is asked afterwards."""

from __future__ import annotations

from dataclasses import dataclass

CHAMPION = "champion"
PRIMARY = "primary"


@dataclass(frozen=True, slots=True)
class Choice:
    """A version of the job's model, by number or alias, and the variant it stands for."""

    reference: str
    variant: str = PRIMARY


def route(version: str | None) -> Choice:
    """The version that the job names, else the champion."""
    return Choice(CHAMPION if version is None else version)
