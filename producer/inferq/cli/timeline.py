"""One job's life, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from inferq_core.states import State
from inferq_core.store.records import JobLife, LogEntry, StoredResult


@dataclass(frozen=True, slots=True)
class Moment:
    at: float
    event: str
    detail: str = ""


def timeline(life: JobLife, logs: Sequence[LogEntry]) -> list[Moment]:
    """What happened to the job and when, oldest first; `logs` are the entries about it."""
    moments = [*_queue(life), *_claims(life), *_end(life.result), *map(_logged, logs)]
    moments += [Moment(truth.created_at, "feedback", orjson.dumps(truth.actual).decode()) for truth in life.feedback]
    return sorted(moments, key=lambda moment: moment.at)


def _queue(life: JobLife) -> Iterator[Moment]:
    view = life.view
    rows = f"{view.n_rows} row{'' if view.n_rows == 1 else 's'}"
    yield Moment(view.created_at, "accepted", f"{rows} for queue {view.queue}, priority {view.priority.label}")
    if life.published_at is not None:
        lost = f"again; its message was lost {_times(life.republished)}" if life.republished else ""
        yield Moment(life.published_at, "published", lost)
    if life.deadline_at is not None:
        yield Moment(life.deadline_at, "deadline")


def _claims(life: JobLife) -> Iterator[Moment]:
    """The newest claim. Of earlier ones the store keeps how many there were, and a log entry for each that died."""
    result, holding = life.result, life.holding
    attempts = life.view.attempts
    if holding is not None:
        yield _claim(holding.claimed_at, attempts, holding.worker, holding.batch_id)
    elif result is not None and result.claimed_at is not None:
        yield _claim(result.claimed_at, attempts, result.worker, result.batch_id)
    elif attempts:
        yield Moment(life.view.created_at, "claimed", f"{_times(attempts)}, and given back each time")
        return
    if attempts > 1:
        yield Moment(life.view.created_at, "claimed", f"{_times(attempts - 1)} before, and given back each time")


def _claim(at: float, attempt: int, worker: str | None, batch_id: str | None) -> Moment:
    return Moment(at, "claimed", f"attempt {attempt} by {worker}, batch {batch_id}")


def _end(result: StoredResult | None) -> Iterator[Moment]:
    if result is None:
        return
    if result.predicted_at is not None:
        rows = f"{result.batch_rows} row{'' if result.batch_rows == 1 else 's'} in one call"
        yield Moment(result.predicted_at, "predicted", f"by version {result.version}, {rows}")
    if result.state is State.SUCCEEDED:
        yield Moment(result.completed_at, result.state)
    else:
        yield Moment(result.completed_at, result.state, f"{result.error_code}: {result.error_message}")


def _logged(entry: LogEntry) -> Moment:
    fields = " ".join(f"{name}={value}" for name, value in entry.fields.items())
    return Moment(entry.at or 0.0, entry.event, f"[{entry.level}] {fields}".rstrip())


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"
