"""The file that `--out` names: a line of JSON for each row, in the order of the rows.

A line holds the row's number (from 0), the job's id, its state, its outputs or the error, and the version. The ids tell
which run the lines belong to, so that an interrupted file is continued without a note beside it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from inferq_core.errors import InferqError, InvalidInput
from inferq_core.ids import JobId, NumberedIds
from inferq_core.states import State
from inferq_core.store.records import StoredResult


@dataclass(slots=True)
class Tally:
    """Rows whose end is known."""

    succeeded: int = 0
    failed: int = 0

    @property
    def rows(self) -> int:
        return self.succeeded + self.failed

    def add(self, state: State) -> None:
        if state is State.SUCCEEDED:
            self.succeeded += 1
        else:
            self.failed += 1


class OutFile:
    """Open for writing, by this process alone. Raises InvalidInput when that cannot be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        except OSError as error:
            raise InvalidInput(f"--out {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise InvalidInput(f"--out {path}: another process writes to it") from error
        except OSError:
            pass  # a file system without locks

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def resume(self, ids: NumberedIds | None) -> Tally:
        """What it holds already; a torn last line is taken away.

        Raises InvalidInput, and changes nothing, when it holds anything but lines of the run with these `ids`.
        """
        tally = Tally()
        for line in self._file:
            expected = None if ids is None else _start(tally.rows, ids.at(tally.rows))
            if expected is None or not _begins(line, expected):
                raise InvalidInput(
                    f"--out {self._path}, line {tally.rows + 1} is no result of this run: the file was written for "
                    "other rows, another model, or other options. Give a new name, or remove it"
                )
            if not line.endswith(b"\n"):
                self._file.seek(-len(line), os.SEEK_CUR)
                self._file.truncate()
                break
            tally.add(_state(line, self._path, tally.rows + 1))
        return tally

    def append(self, results: Iterable[tuple[int, StoredResult]]) -> None:
        try:
            self._file.writelines(_line(row, result) for row, result in results)
            self._file.flush()
        except OSError as error:
            raise InferqError(f"--out {self._path}: {error.strerror}") from error


def _begins(line: bytes, expected: bytes) -> bool:
    """Whether the line is, or was torn off from, one that begins as expected."""
    return line.startswith(expected) if line.endswith(b"\n") else line[: len(expected)] == expected[: len(line)]


def _start(row: int, job_id: JobId) -> bytes:
    return b'{"row":%d,"id":"%s",' % (row, job_id.encode())


def _line(row: int, result: StoredResult) -> bytes:
    fields: dict[str, Any] = {"state": result.state}
    if result.state is State.SUCCEEDED:
        fields["outputs"] = result.outputs
    else:
        fields["error"] = {"code": result.error_code, "message": result.error_message}
    if result.version is not None:
        fields["version"] = result.version
    return _start(row, result.id) + orjson.dumps(fields)[1:] + b"\n"


def _state(line: bytes, path: Path, number: int) -> State:
    try:
        return State(orjson.loads(line)["state"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"--out {path}, line {number} is damaged: remove the file, and run again") from error
