"""What waiting clients are told about a batch that was completed: a function of values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import orjson

from inferq_core.notify import MAX_CARRIED_OUTPUTS, Alike, Reply
from inferq_core.store.records import Claim, ClaimedJob, Completed, Outcome, StoredResult

# What outcomes of one predict call have in common.
_SHARED = attrgetter("state", "version", "variant", "error_code", "error_message", "batch_rows", "predict_seconds")


def replies(
    claim: Claim, outcomes: Sequence[Outcome], completed: Completed, worker: str
) -> Mapping[str, Sequence[Reply]]:
    """By `reply_to`: the results that were written, the id alone of those whose outputs are large."""
    waited = {job.id: (job, job.reply_to) for job in claim.jobs if job.reply_to and job.id in completed.ids}
    told: dict[str, list[Reply]] = defaultdict(list)
    if not waited:
        return told
    for _, alike in groupby((outcome for outcome in outcomes if outcome.id in waited), key=_SHARED):
        each: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for outcome in alike:
            job, reply_to = waited[outcome.id]
            outputs = outcome.outputs
            if outputs is not None and len(outputs) > MAX_CARRIED_OUTPUTS:
                told[reply_to].append(job.id)
            else:
                fragment = None if outputs is None else orjson.Fragment(outputs)
                each[reply_to].append((job.id, fragment, job.attempt, job.created_at))
        common = _result(claim, job, outcome, completed, worker)
        for reply_to, members in each.items():
            told[reply_to].append(Alike(common, members))
    return told


def _result(claim: Claim, job: ClaimedJob, outcome: Outcome, completed: Completed, worker: str) -> StoredResult:
    """Without the outputs."""
    predicted = outcome.predict_seconds
    return StoredResult(
        id=job.id,
        state=outcome.state,
        model=job.model,
        version=outcome.version,
        variant=outcome.variant,
        outputs=None,
        error_code=outcome.error_code,
        error_message=outcome.error_message,
        attempt=job.attempt,
        batch_id=claim.batch_id,
        batch_rows=outcome.batch_rows,
        worker=worker,
        created_at=job.created_at,
        claimed_at=claim.claimed_at,
        predicted_at=None if predicted is None else claim.claimed_at + predicted,
        completed_at=completed.completed_at,
    )
