"""Changes of the registry by people, each with a row in the log that says who, what, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update

from inferq_core.store.logs import write_entries
from inferq_core.store.part import Part
from inferq_core.store.records import AliasChange, LogEntry, ModelRecord, ModelSetting
from inferq_core.store.registry import (
    check_alias,
    check_removable,
    check_settings,
    find_version,
    missing,
    model_record,
    point,
    unknown_model,
)
from inferq_core.store.tables import aliases, models


class ChangesPart(Part):
    """See `contract.Changes`."""

    def point_alias(self, model: str, alias: str, reference: str, *, by: str) -> AliasChange:
        check_alias(alias)

        def work(connection: Connection) -> AliasChange:
            lock_model(connection, model)
            number = find_version(connection, model, reference).number
            change = AliasChange(_number(connection, model, alias), number)
            point(connection, model, alias, number)
            if change.before != number:
                fields = {"alias": alias, "before": change.before, "after": number, "by": by}
                write_entries(connection, [LogEntry("info", "alias_moved", fields, model=model, version=number)])
            return change

        return self._database.write(work)

    def drop_alias(self, model: str, alias: str, *, by: str) -> int:
        check_removable(model, alias)

        def work(connection: Connection) -> int:
            lock_model(connection, model)
            before = _number(connection, model, alias)
            if before is None:
                raise missing(connection, model, alias)
            connection.execute(delete(aliases).where(aliases.c.model == model, aliases.c.alias == alias))
            fields = {"alias": alias, "before": before, "by": by}
            write_entries(connection, [LogEntry("info", "alias_removed", fields, model=model, version=before)])
            return before

        return self._database.write(work)

    def change_settings(self, model: str, changes: Mapping[ModelSetting, Any], *, by: str) -> ModelRecord:
        check_settings(**{name.value: value for name, value in changes.items()})

        def work(connection: Connection) -> ModelRecord:
            before = lock_model(connection, model)
            new = {name: value for name, value in changes.items() if getattr(before, name) != value}
            if not new:
                return before
            values = {name.value: value for name, value in new.items()}
            changed = update(models).where(models.c.name == model).values(values).returning(models)
            fields = {"before": {name: getattr(before, name) for name in new}, "after": new, "by": by}
            write_entries(connection, [LogEntry("info", "settings_changed", fields, model=model)])
            return model_record(connection.execute(changed).one())

        return self._database.write(work)


def lock_model(connection: Connection, model: str) -> ModelRecord:
    """The model, which nobody else changes meanwhile. Raises UnknownModel."""
    row = connection.execute(select(models).where(models.c.name == model).with_for_update()).one_or_none()
    if row is None:
        raise unknown_model(connection, model)
    return model_record(row)


def _number(connection: Connection, model: str, alias: str) -> int | None:
    """The version that the alias stands for."""
    number: int | None = connection.scalar(
        select(aliases.c.number).where(aliases.c.model == model, aliases.c.alias == alias)
    )
    return number
