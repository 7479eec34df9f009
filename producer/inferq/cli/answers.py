"""The results of numbered jobs, in their order."""

from __future__ import annotations

from inferq_core.ids import JobId, NumberedIds
from inferq_core.store.contract import Jobs
from inferq_core.store.records import StoredResult

# Rows that one look at the store covers.
LOOK_ROWS = 1_000


class Answers:
    """Reads results from the store, a few at a time. `next` is the first row whose result was not taken yet."""

    def __init__(self, store: Jobs, ids: NumberedIds, first: int) -> None:
        self.next = first
        self._store = store
        self._ids = ids
        self._found: dict[JobId, StoredResult] = {}

    def take(self, end: int) -> list[tuple[int, StoredResult]]:
        """What can be taken now of the rows before number `end`: results up to the first row that has none yet."""
        numbers = range(self.next, min(self.next + LOOK_ROWS, end))
        ids = [self._ids.at(number) for number in numbers]
        self._found.update(self._store.results([job_id for job_id in ids if job_id not in self._found]))
        taken = []
        for number, job_id in zip(numbers, ids, strict=True):
            result = self._found.pop(job_id, None)
            if result is None:
                break
            taken.append((number, result))
        self.next += len(taken)
        return taken
