"""`inferq doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import typer
from typer import echo, style

from inferq.cli.help import START, Command, examples
from inferq.cli.options import AsJson
from inferq.cli.output import ExitCode, exit_with, print_json
from inferq_core.errors import InferqError, SettingsError
from inferq_core.settings import load_settings
from inferq_monitoring.doctor import examine
from inferq_monitoring.findings import Finding, Level, fail, healthy

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red", Level.SKIPPED: "bright_black"}
_LEVEL_WIDTH = max(map(len, Level))
_CHECK_WIDTH = 17


def add_to(app: typer.Typer) -> None:
    app.command(
        cls=Command,
        epilog=examples("inferq doctor", "inferq doctor --json | jq '.findings[] | select(.level == \"fail\")'"),
        rich_help_panel=START,
    )(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Say what is wrong with the system and what to do about it; it changes nothing.

    It looks at settings, disk, broker, store, clock, workers, keeper and models, and prints a line for each finding:
    ok, warn, fail or skipped. What does not answer within seconds is a finding too. The exit code is 3 when something
    fails, else 0.
    """
    findings = []
    for finding in _examine():
        findings.append(finding)
        if not as_json:
            _print(finding)
    well = healthy(findings)
    if as_json:
        print_json({"healthy": well, "findings": [asdict(finding) for finding in findings]})
    else:
        counts = ", ".join(f"{sum(f.level is level for f in findings)} {level}" for level in Level)
        echo(f"\n{counts}")
    exit_with(ExitCode.DONE if well else ExitCode.UNAVAILABLE)


def _examine() -> Iterator[Finding]:
    try:
        yield from examine(load_settings())
    except SettingsError as error:
        yield fail("settings", str(error), "correct the INFERQ_* variable; the README lists them")
    except InferqError as error:
        yield fail("store", str(error), "see the other findings first")


def _print(finding: Finding) -> None:
    level = style(f"{finding.level:{_LEVEL_WIDTH}}", fg=_COLOURS[finding.level], bold=finding.level is Level.FAIL)
    echo(f"{level}  {finding.check:{_CHECK_WIDTH}}  {finding.found}")
    if finding.advice is not None:
        echo(f"{'':{_LEVEL_WIDTH}}  {'':{_CHECK_WIDTH}}  → {finding.advice}")
