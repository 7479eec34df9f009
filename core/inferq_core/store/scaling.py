"""Why a worker has as many processes as it has."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.store.part import Part
from inferq_core.store.records import NewScalingDecision, ScalingDecision
from inferq_core.store.sql import json_text, read_clock
from inferq_core.store.tables import scaling_decisions


class ScalingPart(Part):
    """See `contract.Logs.record_scaling` and `scaling_decisions`."""

    def record_scaling(self, decisions: Sequence[NewScalingDecision]) -> None:
        if not decisions:
            return
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement = insert(scaling_decisions).on_conflict_do_nothing()
        rows = [
            {
                "id": decision.id,
                "worker": decision.worker,
                "from_processes": decision.from_processes,
                "to_processes": decision.to_processes,
                "reason": decision.reason,
                "inputs": json_text(dict(decision.inputs)),
            }
            for decision in decisions
        ]
        self._database.write(
            lambda connection: connection.execute(
                statement,
                [
                    row | {"at": now - decision.age}
                    for now in [read_clock(connection)]
                    for row, decision in zip(rows, decisions, strict=True)
                ],
            ),
            durable=False,
        )

    def scaling_decisions(self, *, worker: str | None = None, limit: int = 200) -> Sequence[ScalingDecision]:
        query = select(scaling_decisions).order_by(scaling_decisions.c.id.desc()).limit(limit)
        if worker is not None:
            query = query.where(scaling_decisions.c.worker == worker)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [
            ScalingDecision(
                id=row.id,
                worker=row.worker,
                from_processes=row.from_processes,
                to_processes=row.to_processes,
                reason=row.reason,
                inputs=orjson.loads(row.inputs),
                at=row.at,
            )
            for row in reversed(rows)
        ]
