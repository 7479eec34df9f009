"""From claimed jobs to outcomes: one vectorised call per (variant, method), and a bad job alone pays for itself."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import Any

import orjson

from inferq_core.errors import ArtifactRejected, InvalidInput, UnknownModel, UnknownVersion
from inferq_core.rollout import Rollout
from inferq_core.states import ErrorCode, Method, State
from inferq_core.store.records import BatchLog, Claim, ClaimedJob, Outcome, VersionRecord
from inferq_models.catalog import Catalog
from inferq_models.loader import LoadedModel
from inferq_models.routing import Choice, route

# What is kept of an exception's text, in characters.
MAX_ERROR_TEXT = 2000
# What decides which version answers a job, and how.
_ASK = attrgetter("model", "version", "method", "expired")


@dataclass(frozen=True, slots=True)
class _Group:
    """Jobs that one `predict` call can serve."""

    version: VersionRecord
    variant: str | None
    method: Method


def predict_claim(claim: Claim, catalog: Catalog) -> tuple[list[Outcome], BatchLog]:
    """The outcomes of the claimed jobs, and the log row of their batch, as `Batches.complete` takes them."""
    started = time.monotonic()
    outcomes = predict_batch(claim.jobs, catalog)
    seconds = time.monotonic() - started
    return outcomes, BatchLog(len(claim.jobs), sum(job.n_rows for job in claim.jobs), seconds)


def predict_batch(
    jobs: Sequence[ClaimedJob], catalog: Catalog, clock: Callable[[], float] = time.monotonic
) -> list[Outcome]:
    """One outcome per job. Never raises for what a job or a model does; store errors pass through."""
    started = clock()
    outcomes: list[Outcome] = []
    groups: dict[tuple[str, int, str | None, Method], tuple[_Group, list[ClaimedJob]]] = {}
    for same in _of_one_ask(jobs):
        job = same[0]
        if job.expired:
            text = "the deadline passed in the queue"
            outcomes += [_ended(late, State.EXPIRED, ErrorCode.DEADLINE_EXCEEDED, text) for late in same]
            continue
        for choice, members in _of_one_choice(same, catalog.rollout(job.model) if job.version is None else None):
            try:
                version = catalog.version(job.model, choice.reference)
            except (UnknownVersion, UnknownModel) as error:
                outcomes += [_ended(lost, State.FAILED, ErrorCode.UNKNOWN_VERSION, str(error)) for lost in members]
                continue
            group = _Group(version, choice.variant, job.method)
            key = (version.model, version.number, choice.variant, job.method)
            groups.setdefault(key, (group, []))[1].extend(members)
    for group, members in groups.values():
        outcomes += _predict_group(group, members, catalog, lambda: clock() - started)
    return outcomes


def _of_one_ask(jobs: Sequence[ClaimedJob]) -> Iterable[list[ClaimedJob]]:
    """The jobs that ask for the same, together: mostly all of a batch."""
    asks: dict[tuple[Any, ...], list[ClaimedJob]] = defaultdict(list)
    for job in jobs:
        asks[_ASK(job)].append(job)
    return asks.values()


def _of_one_choice(
    jobs: Sequence[ClaimedJob], rollout: Rollout | None
) -> Iterable[tuple[Choice, Sequence[ClaimedJob]]]:
    """Jobs that ask for the same, by the variant they meet: all together where there is no rollout."""
    if rollout is None:
        return [(route(jobs[0].version, 0, None), jobs)]
    choices: dict[Choice, list[ClaimedJob]] = defaultdict(list)
    for job in jobs:
        choices[route(job.version, job.routing_hash, rollout)].append(job)
    return choices.items()


def _predict_group(
    group: _Group, jobs: Sequence[ClaimedJob], catalog: Catalog, elapsed: Callable[[], float]
) -> list[Outcome]:
    try:
        model = catalog.loaded(group.version, group.method)
    except ArtifactRejected as error:
        return [_ended(job, State.FAILED, ErrorCode.ARTIFACT_REJECTED, str(error), group) for job in jobs]
    max_rows = catalog.limits(group.version.model).max_batch_rows
    outcomes: list[Outcome] = []
    for chunk in _chunks(jobs, max_rows):
        with catalog.computing():
            outcomes += _isolate(group, chunk, model, max_rows, elapsed)
    return outcomes


def _chunks(jobs: Sequence[ClaimedJob], max_rows: int) -> list[list[ClaimedJob]]:
    chunks: list[list[ClaimedJob]] = []
    rows = 0
    for job in jobs:
        if not chunks or rows + job.n_rows > max_rows:
            chunks.append([])
            rows = 0
        chunks[-1].append(job)
        rows += job.n_rows
    return chunks


def _isolate(
    group: _Group, jobs: Sequence[ClaimedJob], model: LoadedModel, max_rows: int, elapsed: Callable[[], float]
) -> list[Outcome]:
    """Predict together; when that raises, halve until the job that cannot be predicted stands alone."""
    failure: Outcome | None = None
    try:
        outputs = _call(model, group.method, jobs, max_rows)
    except Exception as error:  # noqa: BLE001 - a model is foreign code: whatever it raises is its job's failure
        code = ErrorCode.INVALID_INPUT if isinstance(error, InvalidInput) else ErrorCode.MODEL_ERROR
        failure = _ended(jobs[0], State.FAILED, code, _told(error), group)
    # Out here the error, and what the frames of the failed call held, are gone: the halves may need that memory.
    if failure is not None:
        if len(jobs) == 1:
            return [failure]
        half = len(jobs) // 2
        return [
            *_isolate(group, jobs[:half], model, max_rows, elapsed),
            *_isolate(group, jobs[half:], model, max_rows, elapsed),
        ]
    seconds = elapsed()
    batch_rows = min(sum(job.n_rows for job in jobs), max_rows)
    succeeded = partial(
        Outcome,
        version=group.version.number,
        variant=group.variant,
        batch_rows=batch_rows,
        predict_seconds=seconds,
    )
    return list(map(succeeded, [job.id for job in jobs], repeat(State.SUCCEEDED), outputs))


def _told(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"MemoryError: {str(error) or 'the job needs more memory than its process may take'}"
    return f"{type(error).__name__}: {error}"


def _call(model: LoadedModel, method: Method, jobs: Sequence[ClaimedJob], max_rows: int) -> list[str]:
    """Each job's outputs as JSON text. A job of more than `max_rows` rows is predicted in slices."""
    rows = model.inputs([job.inputs for job in jobs])
    count = sum(job.n_rows for job in jobs)
    if len(rows) != count:
        # Outputs would go to the wrong jobs. Halving finds the damaged one.
        raise InvalidInput(f"the stored inputs have {len(rows)} rows, and their jobs say {count}")
    if count <= max_rows:
        outputs = model.call(method, rows)
    else:
        outputs = []
        for start in range(0, count, max_rows):
            outputs += model.call(method, rows[start : start + max_rows])
    if count == len(jobs):
        return [orjson.dumps([output]).decode() for output in outputs]
    texts: list[str] = []
    start = 0
    for job in jobs:
        texts.append(orjson.dumps(outputs[start : start + job.n_rows]).decode())
        start += job.n_rows
    return texts


def _ended(job: ClaimedJob, state: State, code: ErrorCode, message: str, group: _Group | None = None) -> Outcome:
    return Outcome(
        id=job.id,
        state=state,
        error_code=code,
        error_message=message[:MAX_ERROR_TEXT],
        version=group.version.number if group else None,
        variant=group.variant if group else None,
    )
