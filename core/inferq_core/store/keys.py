"""Keys of the HTTP gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Row, exists, insert, select, update

from inferq_core.errors import UnknownKey
from inferq_core.policy.rate import RateLimit
from inferq_core.store.part import Part
from inferq_core.store.records import KeyRecord, KeyScope, NewKey
from inferq_core.store.sql import clock, json_text
from inferq_core.store.tables import api_keys


class KeysPart(Part):
    """See `contract.Keys`."""

    def add_key(self, key: NewKey) -> KeyRecord:
        statement = (
            insert(api_keys)
            .values(
                id=key.id,
                name=key.name,
                digest=key.digest,
                scopes=json_text(list(key.scopes)),
                models=None if key.models is None else json_text(list(key.models)),
                created_at=clock(),
                rate=None if key.limit is None else key.limit.per_second,
                burst=None if key.limit is None else key.limit.burst,
            )
            .returning(api_keys)
        )
        return _key(self._database.write(lambda connection: connection.execute(statement).one()))

    def key(self, key_id: str) -> KeyRecord | None:
        query = select(api_keys).where(api_keys.c.id == key_id)
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _key(row)

    def all_keys(self) -> Sequence[KeyRecord]:
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        return [_key(row) for row in self._database.read(lambda connection: connection.execute(query).all())]

    def has_keys(self) -> bool:
        query = select(exists(select(api_keys.c.id)))
        return bool(self._database.read(lambda connection: connection.scalar(query)))

    def revoke_key(self, key_id: str) -> KeyRecord:
        current = api_keys.c.revoked_at.is_(None)
        statement = update(api_keys).where(api_keys.c.id == key_id, current).values(revoked_at=clock())
        self._database.write(lambda connection: connection.execute(statement))
        found = self.key(key_id)
        if found is None:
            raise UnknownKey(f"no key has the id {key_id!r}: `inferq keys list` shows them")
        return found


def _key(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        name=row.name,
        digest=row.digest,
        scopes=frozenset(KeyScope(scope) for scope in orjson.loads(row.scopes)),
        models=None if row.models is None else tuple(orjson.loads(row.models)),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        limit=None if row.rate is None else RateLimit(row.rate, row.burst),
    )
