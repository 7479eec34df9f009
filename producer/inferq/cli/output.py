"""What the command prints and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from enum import IntEnum
from typing import Any, NoReturn

import orjson
import structlog
import typer
from typer import echo

from inferq import Result
from inferq_core.errors import (
    AlreadyRunning,
    BrokerUnavailable,
    InferqError,
    InvalidInput,
    JobFailed,
    RegistrationRefused,
    SettingsError,
    StoreError,
    UnknownJob,
    UnknownModel,
    UnknownVersion,
    WaitTimeout,
)
from inferq_core.logging import configure_logging


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1  # the job ended without outputs, or the command did not do its work
    USAGE = 2  # wrong arguments, rows or settings
    UNAVAILABLE = 3  # the store or the broker does not answer, or is not as it must be
    UNKNOWN = 4  # no such job, model or version
    UNFINISHED = 5  # the job is queued or running


# The first class that fits decides.
EXIT_CODES: tuple[tuple[type[InferqError], ExitCode], ...] = (
    (UnknownJob, ExitCode.UNKNOWN),
    (UnknownModel, ExitCode.UNKNOWN),
    (UnknownVersion, ExitCode.UNKNOWN),
    (WaitTimeout, ExitCode.UNFINISHED),
    (JobFailed, ExitCode.FAILED),
    (InvalidInput, ExitCode.USAGE),
    (RegistrationRefused, ExitCode.USAGE),
    (SettingsError, ExitCode.USAGE),
    (StoreError, ExitCode.UNAVAILABLE),
    (BrokerUnavailable, ExitCode.UNAVAILABLE),
    (AlreadyRunning, ExitCode.UNAVAILABLE),
)


def exit_code_of(error: InferqError) -> ExitCode:
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ExitCode.FAILED)


def fail(error: InferqError) -> NoReturn:
    """One readable line (a failed start adds the end of a log), and the code that fits."""
    echo(f"inferq: {error}", err=True)
    raise SystemExit(exit_code_of(error))


def exit_with(code: ExitCode) -> NoReturn:
    raise typer.Exit(int(code))


def print_json(value: Any) -> None:
    """One JSON document on one line."""
    echo(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode())


def print_fields(fields: Mapping[str, Any], *, as_json: bool) -> None:
    """One object: as JSON, or a line for each field."""
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        shown = orjson.dumps(value).decode() if isinstance(value, list | dict) else value
        echo(f"{name:14} {shown}")


def result_fields(result: Result) -> dict[str, Any]:
    """What is known of the result."""
    return {name: value for name, value in asdict(result).items() if value is not None}


def configure_messages() -> None:
    """Warnings of the library go to stderr, so that stdout holds answers only."""
    configure_logging("WARNING", structlog.processors.KeyValueRenderer(key_order=["level", "event"]))
