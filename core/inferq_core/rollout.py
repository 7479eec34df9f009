"""How a model's traffic is split over two of its versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from inferq_core.errors import RegistrationRefused
from inferq_core.signature import Signature

# What the weights of a rollout are parts of.
WHOLE = 1000


class Role(StrEnum):
    """What a variant is for."""

    PRIMARY = "primary"  # what answered before
    CANARY = "canary"  # what is tried


@dataclass(frozen=True, slots=True)
class Variant:
    role: Role
    version: int
    weight: int  # of WHOLE


@dataclass(frozen=True, slots=True)
class Rollout:
    """The split of the jobs that name no version."""

    model: str
    primary: Variant
    canary: Variant
    changed_at: float

    @property
    def variants(self) -> tuple[Variant, Variant]:
        return self.primary, self.canary


@dataclass(frozen=True, slots=True)
class RolloutEvent:
    """A change of a rollout: the variants before and after it, none where there was no rollout."""

    at: float
    by: str
    before: Sequence[Variant]
    after: Sequence[Variant]


def check_weight(weight: int) -> None:
    """Raises RegistrationRefused."""
    if not 0 <= weight <= WHOLE:
        raise RegistrationRefused(f"weight {weight}: the canary gets from 0 to {WHOLE} of {WHOLE} parts")


def check_alike(primary: tuple[int, Signature], canary: tuple[int, Signature]) -> None:
    """Raises RegistrationRefused unless both take the same rows: a job is checked before its variant is known."""
    (number, ours), (tried, theirs) = primary, canary
    if number == tried:
        raise RegistrationRefused(f"version {tried} cannot be the canary beside itself: name another version")
    if (ours.layout, ours.columns) != (theirs.layout, theirs.columns):
        raise RegistrationRefused(
            f"version {tried} takes other columns than version {number}: both must take the same rows"
        )
    if missing := [method.value for method in ours.methods if method not in theirs.methods]:
        raise RegistrationRefused(f"version {tried} has no {', '.join(missing)}, which version {number} has")
