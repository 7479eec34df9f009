"""Which version answers a job. Functions of values: the store is asked before and afterwards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from inferq_core.rollout import WHOLE, Role, Rollout

CHAMPION = "champion"
_64_BITS = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Choice:
    """A version of the job's model, by number or alias, and the variant it stands for; None: the job chose itself."""

    reference: str
    variant: str | None


def route(version: str | None, routing_hash: int, rollout: Rollout | None) -> Choice:
    """The version that the job names, else the variant that its hash meets, else the champion.

    The canary has the lowest places: whoever met it meets it still when it gets more.
    """
    if version is not None:
        return Choice(version, None)
    if rollout is None:
        return Choice(CHAMPION, Role.PRIMARY)
    variant = rollout.canary if place(routing_hash, rollout.model) < rollout.canary.weight else rollout.primary
    return Choice(str(variant.version), variant.role)


def place(routing_hash: int, model: str) -> int:
    """Where among WHOLE the hash stands in the model's rollouts, the same on every host and version.

    Another place for each model (splitmix64's mixing of hash and name), so that not always the same are tried on.
    """
    mixed = (routing_hash ^ _salt(model)) & _64_BITS
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _64_BITS
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _64_BITS
    return ((mixed ^ (mixed >> 31)) * WHOLE) >> 64


@lru_cache(maxsize=1024)
def _salt(model: str) -> int:
    return int.from_bytes(hashlib.blake2b(model.encode(), digest_size=8).digest(), "big")
