"""Models, versions, aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson
from sqlalchemy import Connection, Insert, Row, delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.errors import RegistrationRefused, UnknownModel, UnknownVersion
from inferq_core.settings import DAY, QUEUE_NAME
from inferq_core.store.part import Part
from inferq_core.store.records import ModelRecord, ModelSetting, NewVersion, Runtime, VersionRecord
from inferq_core.store.sql import clock, json_text
from inferq_core.store.tables import aliases, models, versions

DEFAULT_ALIAS = "champion"
# A name that looks like a number could never be told from one.
_ALIAS = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)
# What an INTEGER of PostgreSQL holds.
MAX_INTEGER = 2**31 - 1
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


def check_settings(
    *,
    queue: str | None = None,
    max_batch_rows: int | None = None,
    time_limit: float | None = None,
    latency_target: float | None = None,
    max_backlog: int | None = None,
) -> None:
    """Raise RegistrationRefused for settings that no model can have."""
    if queue is not None and not QUEUE_NAME.fullmatch(queue):
        raise RegistrationRefused(f"queue {queue!r}: letters, digits, '_', '.' and '-' only, 64 at most")
    for name, rows in (("max_batch_rows", max_batch_rows), ("max_backlog", max_backlog)):
        if rows is not None and not 1 <= rows <= MAX_INTEGER:
            raise RegistrationRefused(f"{name}={rows}: at least 1 row, at most {MAX_INTEGER}")
    for name, seconds in (("time_limit", time_limit), ("latency_target", latency_target)):
        if seconds is not None and not 0 < seconds <= DAY:
            raise RegistrationRefused(f"{name}={seconds:g}: more than 0 seconds, at most {DAY:g}")


class RegistryPart(Part):
    """See `contract.Registry`."""

    def put_model(
        self,
        name: str,
        *,
        queue: str | None = None,
        max_batch_rows: int | None = None,
        time_limit: float | None = None,
        latency_target: float | None = None,
        max_backlog: int | None = None,
    ) -> ModelRecord:
        settings = {
            ModelSetting.QUEUE: queue,
            ModelSetting.MAX_BATCH_ROWS: max_batch_rows,
            ModelSetting.TIME_LIMIT: time_limit,
            ModelSetting.LATENCY_TARGET: latency_target,
            ModelSetting.MAX_BACKLOG: max_backlog,
        }
        given: dict[str, Any] = {key.value: value for key, value in settings.items() if value is not None}
        check_settings(**given)

        def work(connection: Connection) -> ModelRecord:
            statement = _upsert(connection)(models).values(name=name, created_at=clock(), **given)
            # Without settings it changes nothing, but an upsert that does nothing returns nothing either.
            statement = statement.on_conflict_do_update(index_elements=["name"], set_=given or {"name": name})
            return model_record(connection.execute(statement.returning(models)).one())

        return self._database.write(work)

    def model(self, name: str) -> ModelRecord:
        def work(connection: Connection) -> ModelRecord:
            row = connection.execute(select(models).where(models.c.name == name)).one_or_none()
            if row is None:
                raise unknown_model(connection, name)
            return model_record(row)

        return self._database.read(work)

    def models(self) -> Sequence[ModelRecord]:
        rows = self._database.read(lambda connection: connection.execute(select(models).order_by(models.c.name)).all())
        return [model_record(row) for row in rows]

    def add_version(self, version: NewVersion, *, aliases: Sequence[str] = ()) -> VersionRecord:
        for alias in aliases:
            check_alias(alias)

        def work(connection: Connection) -> VersionRecord:
            record = _add_version(connection, version)
            for alias in aliases:
                point(connection, version.model, alias, record.number)
            return record

        return self._database.write(work)

    def version(self, model: str, reference: str | None) -> VersionRecord:
        wanted = DEFAULT_ALIAS if reference is None else reference
        return self._database.read(lambda connection: find_version(connection, model, wanted))

    def versions(self, model: str) -> Sequence[VersionRecord]:
        query = select(versions).where(versions.c.model == model).order_by(versions.c.number)
        return [_version(row) for row in self._database.read(lambda connection: connection.execute(query).all())]

    def set_alias(self, model: str, alias: str, number: int) -> None:
        check_alias(alias)

        def work(connection: Connection) -> None:
            there = select(versions.c.number).where(versions.c.model == model, versions.c.number == number)
            if connection.scalar(there) is None:
                raise missing(connection, model, str(number))
            point(connection, model, alias, number)

        self._database.write(work)

    def remove_alias(self, model: str, alias: str) -> None:
        check_removable(model, alias)
        gone = delete(aliases).where(aliases.c.model == model, aliases.c.alias == alias).returning(aliases.c.alias)

        def work(connection: Connection) -> None:
            if connection.scalar(gone) is None:
                raise missing(connection, model, alias)

        self._database.write(work)

    def aliases(self, model: str) -> Mapping[str, int]:
        query = select(aliases.c.alias, aliases.c.number).where(aliases.c.model == model).order_by(aliases.c.alias)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return {row.alias: row.number for row in rows}


class _Upsert(Protocol):
    def __call__(self, table: Any) -> Any: ...


def _upsert(connection: Connection) -> _Upsert:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def _add_version(connection: Connection, new: NewVersion) -> VersionRecord:
    create: Insert = _upsert(connection)(models).values(name=new.model, created_at=clock()).on_conflict_do_nothing()
    connection.execute(create)
    # Numbers are given under the lock of the model's row: no gaps, none twice.
    connection.execute(select(models.c.name).where(models.c.name == new.model).with_for_update()).one()
    last = connection.scalar(select(func.max(versions.c.number)).where(versions.c.model == new.model)) or 0
    values = {
        "model": new.model,
        "number": last + 1,
        "uri": new.uri,
        "digest": new.digest,
        "format": new.format,
        "trusted_types": json_text(list(new.trusted_types)),
        "trust_pickle": new.trust_pickle,
        "sklearn_version": new.sklearn_version,
        "signature": new.signature,
        "runtime": new.runtime,
        "runtime_reason": new.runtime_reason,
        "onnx_uri": new.onnx_uri,
        "onnx_digest": new.onnx_digest,
        "created_at": clock(),
    }
    return _version(connection.execute(insert(versions).values(values).returning(versions)).one())


def point(connection: Connection, model: str, alias: str, number: int) -> None:
    statement = _upsert(connection)(aliases).values(model=model, alias=alias, number=number, changed_at=clock())
    moved = {"number": statement.excluded.number, "changed_at": statement.excluded.changed_at}
    connection.execute(statement.on_conflict_do_update(index_elements=["model", "alias"], set_=moved))


def check_alias(alias: str) -> None:
    if not _ALIAS.fullmatch(alias):
        raise RegistrationRefused(
            f"alias {alias!r} is not allowed: begin with a letter, then letters, digits, '_', '.' or '-', 64 at most"
        )


def check_removable(model: str, alias: str) -> None:
    """Raises RegistrationRefused."""
    if alias == DEFAULT_ALIAS:
        raise RegistrationRefused(
            f"the alias {DEFAULT_ALIAS!r} of model {model!r} stays, because jobs that name no version go to it: "
            "point it to another version instead"
        )


def find_version(connection: Connection, model: str, wanted: str) -> VersionRecord:
    """By number or alias. Raises UnknownModel, UnknownVersion."""
    number: Any
    if _NUMBER.fullmatch(wanted):
        number = int(wanted)
    else:
        same = (aliases.c.model == model) & (aliases.c.alias == wanted)
        number = select(aliases.c.number).where(same).scalar_subquery()
    query = select(versions).where(versions.c.model == model, versions.c.number == number)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise missing(connection, model, wanted)
    return _version(row)


def missing(connection: Connection, model: str, wanted: str) -> UnknownModel | UnknownVersion:
    if connection.scalar(select(models.c.name).where(models.c.name == model)) is None:
        return unknown_model(connection, model)
    numbers = connection.scalars(select(versions.c.number).where(versions.c.model == model).order_by("number")).all()
    names = connection.scalars(select(aliases.c.alias).where(aliases.c.model == model).order_by("alias")).all()
    there = ", ".join([*map(str, numbers[-10:]), *names]) or "none"
    return UnknownVersion(f"model {model!r} has no version or alias {wanted!r}; it has: {there}")


def unknown_model(connection: Connection, name: str) -> UnknownModel:
    names = connection.scalars(select(models.c.name).order_by(models.c.name).limit(20)).all()
    return UnknownModel(f"no model {name!r} is registered; there are: {', '.join(names) or 'none'}")


def model_record(row: Row[Any]) -> ModelRecord:
    return ModelRecord(
        name=row.name,
        queue=row.queue,
        max_batch_rows=row.max_batch_rows,
        time_limit=row.time_limit,
        latency_target=row.latency_target,
        max_backlog=row.max_backlog,
        created_at=row.created_at,
    )


def _version(row: Row[Any]) -> VersionRecord:
    return VersionRecord(
        model=row.model,
        number=row.number,
        uri=row.uri,
        digest=row.digest,
        format=row.format,
        trusted_types=tuple(orjson.loads(row.trusted_types)),
        trust_pickle=bool(row.trust_pickle),
        sklearn_version=row.sklearn_version,
        signature=row.signature,
        runtime=Runtime(row.runtime),
        runtime_reason=row.runtime_reason,
        onnx_uri=row.onnx_uri,
        onnx_digest=row.onnx_digest,
        created_at=row.created_at,
    )
