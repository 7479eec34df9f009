"""Ground truth as it comes from the command line and from files."""

from __future__ import annotations

import csv
import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from inferq_core.errors import InvalidInput, StoreError
from inferq_core.ids import JobId, parse_job_id
from inferq_core.store.contract import Jobs

# Lines of a file that share a question to the store and a transaction.
BATCH_LINES = 1000


@dataclass
class Tally:
    """What became of the lines so far."""

    stored: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    job_id: str
    value: str


@dataclass(frozen=True, slots=True)
class Refusal:
    line: int
    why: str


def read_value(text: str) -> Any:
    """`text` as JSON, or itself when it is none. Raises InvalidInput for nothing, and for NaN and infinity."""
    if not text.strip():
        raise InvalidInput(f"{text!r} is no ground truth: give a number, a text or JSON ('\"\"' is the empty text)")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if _is_infinite(text):
            raise InvalidInput(f"{text!r} is no ground truth: give a finite number, a text or JSON") from None
        return text


def import_file(store: Jobs, path: Path, columns: tuple[str, str], tally: Tally) -> Iterator[Refusal]:
    """Store what the file says, keeping `tally`, and yield the lines that cannot be stored, in order.

    Raises InvalidInput for a file that cannot be read (on), StoreError; what came before is stored then, and said.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = _read(path, file, columns)
            while chunk := list(islice(lines, BATCH_LINES)):
                refusals = _store(store, chunk)
                tally.refused += len(refusals)
                tally.stored += len(chunk) - len(refusals)
                yield from refusals
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}{_so_far(tally)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} is no CSV file in UTF-8: {error}{_so_far(tally)}") from error
    except StoreError as error:
        error.args = (f"{error}{_so_far(tally)}",)
        raise


def _read(path: Path, file: Any, columns: tuple[str, str]) -> Iterator[Line]:
    reader = csv.reader(file)
    header = next(reader, [])
    for name in columns:
        if name not in header:
            there = ", ".join(header) or "none"
            raise InvalidInput(f"{path} has no column {name!r}; it has: {there}. See --id-column and --value-column")
    id_at, value_at = (header.index(name) for name in columns)
    for cells in reader:
        if cells:
            filled = [*cells, *[""] * (len(header) - len(cells))]
            yield Line(reader.line_num, filled[id_at].strip(), filled[value_at])


def _store(store: Jobs, lines: Sequence[Line]) -> list[Refusal]:
    """Store what can be stored, in one transaction; the others."""
    refusals: list[Refusal] = []
    truths: list[tuple[JobId, Any]] = []
    known = store.states([JobId(line.job_id) for line in lines])
    for line in lines:
        try:
            truths.append(_truth(line, known))
        except InvalidInput as error:
            refusals.append(Refusal(line.number, str(error)))
    store.add_feedback(truths)
    return refusals


def _truth(line: Line, known: Container[JobId]) -> tuple[JobId, Any]:
    """Raises InvalidInput that says why the line cannot be stored."""
    job_id = parse_job_id(line.job_id)
    if job_id is None:
        raise InvalidInput(f"{line.job_id!r} is not the id of a job: ids are UUIDs, as submit printed them")
    if job_id not in known:
        raise InvalidInput(f"no job {line.job_id!r} was ever accepted by this store")
    if not line.value.strip():
        raise InvalidInput(f"the value of job {line.job_id!r} is empty")
    return job_id, read_value(line.value)


def _is_infinite(text: str) -> bool:
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


def _so_far(tally: Tally) -> str:
    return f"; values stored before: {tally.stored}" if tally.stored else ""
