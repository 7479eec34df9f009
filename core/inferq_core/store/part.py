"""What the parts of the store have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferq_core.ids import JobId
from inferq_core.states import Priority
from inferq_core.store.engine import Database
from inferq_core.store.records import PendingRef
from inferq_core.store.tables import pending

REF_COLUMNS = (
    pending.c.id,
    pending.c.model,
    pending.c.queue,
    pending.c.priority,
    pending.c.n_rows,
    pending.c.group_limit,
    pending.c.published_at,
)


class Part:
    """One concern of the store, on a database that it shares with the others."""

    def __init__(self, database: Database) -> None:
        self._database = database


def pending_ref(row: Mapping[Any, Any]) -> PendingRef:
    """From a row that has REF_COLUMNS."""
    return PendingRef(
        id=JobId(row["id"]),
        model=row["model"],
        queue=row["queue"],
        priority=Priority(row["priority"]),
        n_rows=row["n_rows"],
        group_limit=row["group_limit"],
        published_at=row["published_at"],
    )
