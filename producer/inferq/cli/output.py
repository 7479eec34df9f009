"""What the command prints and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict
from enum import IntEnum
from io import TextIOWrapper
from typing import Any, NoReturn

import orjson
import typer
from pydantic import ValidationError
from typer import echo

from inferq import Result
from inferq_core.errors import (
    AlreadyRunning,
    BacklogFull,
    BrokerUnavailable,
    InferqError,
    Interrupted,
    InvalidInput,
    JobFailed,
    JobUnfinished,
    RegistrationRefused,
    SettingsError,
    StoreError,
    UnknownDelivery,
    UnknownJob,
    UnknownKey,
    UnknownModel,
    UnknownRollout,
    UnknownVersion,
    UnknownWebhook,
    WaitTimeout,
)
from inferq_core.logging import configure_logging


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1  # the job ended without outputs, or the command did not do its work
    USAGE = 2  # wrong arguments, rows or settings
    UNAVAILABLE = 3  # the store or the broker does not answer or is not as it must be, or the backlog is full
    UNKNOWN = 4  # no such job, model or version
    UNFINISHED = 5  # the job is queued or running
    INTERRUPTED = 130  # Ctrl-C, as shells count it


# The first class that fits decides.
EXIT_CODES: tuple[tuple[type[InferqError], ExitCode], ...] = (
    (UnknownJob, ExitCode.UNKNOWN),
    (UnknownModel, ExitCode.UNKNOWN),
    (UnknownVersion, ExitCode.UNKNOWN),
    (UnknownRollout, ExitCode.UNKNOWN),
    (UnknownKey, ExitCode.UNKNOWN),
    (UnknownWebhook, ExitCode.UNKNOWN),
    (UnknownDelivery, ExitCode.UNKNOWN),
    (WaitTimeout, ExitCode.UNFINISHED),
    (JobUnfinished, ExitCode.UNFINISHED),
    (JobFailed, ExitCode.FAILED),
    (InvalidInput, ExitCode.USAGE),
    (RegistrationRefused, ExitCode.USAGE),
    (SettingsError, ExitCode.USAGE),
    (StoreError, ExitCode.UNAVAILABLE),
    (BrokerUnavailable, ExitCode.UNAVAILABLE),
    (BacklogFull, ExitCode.UNAVAILABLE),
    (AlreadyRunning, ExitCode.UNAVAILABLE),
    (Interrupted, ExitCode.INTERRUPTED),
)


def exit_code_of(error: Exception) -> ExitCode:
    if isinstance(error, typer.TyperException):
        return ExitCode.USAGE
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ExitCode.FAILED)


def fail(error: Exception) -> NoReturn:
    """One readable line (a failed start adds the end of a log), and the code that fits."""
    if line := _line_of(error):
        echo(f"inferq: {line}", err=True)
    raise SystemExit(exit_code_of(error))


def _line_of(error: Exception) -> str:
    if isinstance(error, InferqError):
        return str(error)
    if isinstance(error, typer.TyperException):
        return _usage(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    message = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {message}. `inferq --debug …` shows where"


def _usage(error: typer.TyperException) -> str:
    """What was wrong with the words of the command; nothing when its help was shown already."""
    message = " ".join(_named(error).split()).rstrip(".?")
    context = getattr(error, "ctx", None)
    return f"{message}. See `{context.command_path} --help`" if message and context else message


def _named(error: typer.TyperException) -> str:
    """The message with the value that was wrong, which typer leaves out."""
    cause = error.__cause__
    if not (isinstance(error, typer.BadParameter) and isinstance(cause, ValidationError) and error.param):
        return error.format_message()
    problem = cause.errors(include_url=False)[0]
    given = repr(problem["input"])
    reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix(f"{given} ")
    return f"{error.param.get_error_hint()} {given}: {reason}"


def exit_with(code: ExitCode) -> NoReturn:
    raise typer.Exit(int(code))


def print_json(value: Any) -> None:
    """One JSON document on one line: in UTF-8, whatever the terminal's encoding is."""
    echo(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS))


def print_fields(fields: Mapping[str, Any], *, as_json: bool) -> None:
    """One object: as JSON, or a line for each field."""
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        shown = orjson.dumps(value).decode() if isinstance(value, list | dict) else value
        echo(f"{name:14} {shown}")


# What a number begins with, an estimate and a missing one included.
_NUMERIC = {*"0123456789~-", ""}


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as what is in them, numbers to the right, a line for each row."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    aligns = [">" if all(cell[:1] in _NUMERIC for cell in column[1:]) else "<" for column in columns]
    for cells in (head, *rows):
        line = "  ".join(f"{cell:{align}{width}}" for cell, align, width in zip(cells, aligns, widths, strict=True))
        echo(line.rstrip())


def result_fields(result: Result) -> dict[str, Any]:
    """What is known of the result."""
    return {name: value for name, value in asdict(result).items() if value is not None}


def configure_messages() -> None:
    r"""Warnings of the library go to stderr, so that stdout holds answers only.

    What the terminal's encoding does not know is shown as \u2026: another locale is no reason to fail.
    """
    configure_logging("WARNING", _as_line)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _as_line(_: Any, __: str, record: MutableMapping[str, Any]) -> str:
    fields = {name: value for name, value in record.items() if name not in ("level", "event", "logger", "timestamp")}
    shown = ", ".join(f"{name}: {value}" for name, value in fields.items())
    event = str(record["event"]).replace("_", " ")
    return f"inferq: {record['level']}: {event}{f' ({shown})' if shown else ''}"
