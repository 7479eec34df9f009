"""Rollouts, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.errors import UnknownRollout
from inferq_core.rollout import WHOLE, Role, Rollout, RolloutEvent, Variant, check_alike, check_weight
from inferq_core.signature import Signature
from inferq_core.store.changes import lock_model
from inferq_core.store.logs import write_entries
from inferq_core.store.part import Part
from inferq_core.store.records import LogEntry, VersionRecord
from inferq_core.store.registry import DEFAULT_ALIAS, find_version
from inferq_core.store.sql import clock, json_text
from inferq_core.store.tables import rollout_events, rollouts


class RolloutsPart(Part):
    """See `contract.Rollouts`."""

    def rollout(self, model: str) -> Rollout | None:
        query = select(rollouts).where(rollouts.c.model == model)
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _rollout(row)

    def put_rollout(self, model: str, canary: str, weight: int, *, primary: str | None = None, by: str) -> Rollout:
        check_weight(weight)

        def work(connection: Connection) -> Rollout:
            lock_model(connection, model)
            before = _current(connection, model)
            main = primary or (str(before.primary.version) if before else DEFAULT_ALIAS)
            ours, theirs = (find_version(connection, model, reference) for reference in (main, canary))
            check_alike(_taken(ours), _taken(theirs))
            pair = [Variant(Role.PRIMARY, ours.number, WHOLE - weight), Variant(Role.CANARY, theirs.number, weight)]
            if before is not None and list(before.variants) == pair:
                return before
            insert_for = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            values = {"variants": _text(pair), "changed_at": clock()}
            statement = insert_for(rollouts).values(model=model, **values)
            statement = statement.on_conflict_do_update(index_elements=["model"], set_=values)
            row = connection.execute(statement.returning(rollouts)).one()
            _note(connection, model, before, pair, by)
            return _rollout(row)

        return self._database.write(work)

    def end_rollout(self, model: str, *, by: str) -> Rollout:
        def work(connection: Connection) -> Rollout:
            lock_model(connection, model)
            before = _current(connection, model)
            if before is None:
                raise UnknownRollout(f"model {model!r} has no rollout: its champion answers")
            connection.execute(delete(rollouts).where(rollouts.c.model == model))
            _note(connection, model, before, (), by)
            return before

        return self._database.write(work)

    def rollout_events(self, model: str, *, limit: int = 50) -> Sequence[RolloutEvent]:
        query = (
            select(rollout_events)
            .where(rollout_events.c.model == model)
            .order_by(rollout_events.c.id.desc())
            .limit(limit)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [RolloutEvent(row.at, row.by, _variants(row.before), _variants(row.after)) for row in rows]


def _current(connection: Connection, model: str) -> Rollout | None:
    row = connection.execute(select(rollouts).where(rollouts.c.model == model)).one_or_none()
    return None if row is None else _rollout(row)


def _note(connection: Connection, model: str, before: Rollout | None, after: Sequence[Variant], by: str) -> None:
    old, new = _text(before.variants if before else ()), _text(after)
    connection.execute(insert(rollout_events).values(model=model, at=clock(), by=by, before=old, after=new))
    fields = {"before": orjson.loads(old), "after": orjson.loads(new), "by": by}
    write_entries(connection, [LogEntry("info", "rollout_changed" if after else "rollout_ended", fields, model=model)])


def _taken(version: VersionRecord) -> tuple[int, Signature]:
    return version.number, Signature.from_json(version.signature)


def _text(variants: Sequence[Variant]) -> str:
    return json_text([{"role": each.role, "version": each.version, "weight": each.weight} for each in variants])


def _variants(text: str) -> list[Variant]:
    return [_variant(fields) for fields in orjson.loads(text)]


def _variant(fields: Mapping[str, Any]) -> Variant:
    return Variant(Role(fields["role"]), fields["version"], fields["weight"])


def _rollout(row: Row[Any]) -> Rollout:
    primary, canary = _variants(row.variants)
    return Rollout(row.model, primary, canary, row.changed_at)
