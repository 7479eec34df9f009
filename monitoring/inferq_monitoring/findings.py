"""What a check of the system found, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works, and something should be changed
    FAIL = "fail"  # jobs are not, or will not be, answered
    SKIPPED = "skipped"  # it could not be checked here; the finding says why


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `inferq doctor`."""

    check: str
    level: Level
    found: str
    advice: str | None = None  # what to do; None when there is nothing to do


def healthy(findings: Sequence[Finding]) -> bool:
    return all(finding.level is not Level.FAIL for finding in findings)


def ok(check: str, found: str) -> Finding:
    return Finding(check, Level.OK, found)


def warn(check: str, found: str, advice: str) -> Finding:
    return Finding(check, Level.WARN, found, advice)


def fail(check: str, found: str, advice: str) -> Finding:
    return Finding(check, Level.FAIL, found, advice)


def skipped(check: str, found: str) -> Finding:
    return Finding(check, Level.SKIPPED, found)
