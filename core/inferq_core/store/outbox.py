"""The outbox: written where jobs end, claimed by those who deliver, read by people."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from inferq_core.errors import UnknownDelivery
from inferq_core.ids import JobId, parse_job_id
from inferq_core.states import State
from inferq_core.store.part import Part
from inferq_core.store.sql import clock, one_of, storable
from inferq_core.store.tables import subscriptions, webhook_deliveries, webhooks
from inferq_core.store.webhook_records import STREAM, Delivery, DeliveryPage, DeliveryState, Settled

table = webhook_deliveries
# Characters of a UUID of version 7 that tell its time, and that it is one.
TIME_DIGITS = 15
# Characters of what went wrong that are kept.
MAX_ERROR = 500

# A step of `completion._POSTGRESQL_COMPLETE`, after `written (id, model, state)` and `batch (now)`.
POSTGRESQL_RECORD = f"""
subscribed AS (
    DELETE FROM subscriptions USING written WHERE subscriptions.job_id = written.id
    RETURNING written.id, written.model, written.state, subscriptions.owner, subscriptions.url, subscriptions.host,
        subscriptions.states
), told AS (
    INSERT INTO webhook_deliveries (id, job_id, model, state, owner, webhook_id, url, host, created_at, due_at,
        attempts)
    SELECT CAST(left(CAST(one.id AS text), {TIME_DIGITS}) ||
            substr(CAST(gen_random_uuid() AS text), {TIME_DIGITS + 1}) AS uuid),
        one.id, one.model, one.state, one.owner, one.webhook_id, one.url, one.host, batch.now, batch.now, 0
    FROM (
        SELECT id, model, state, owner, CAST(NULL AS text) AS webhook_id, url, host, states FROM subscribed
        UNION ALL
        SELECT written.id, written.model, written.state, NULL, webhooks.id, webhooks.url, webhooks.host, webhooks.states
        FROM written JOIN webhooks ON webhooks.disabled_at IS NULL
            AND (webhooks.model = written.model OR webhooks.model IS NULL)
    ) AS one CROSS JOIN batch
    WHERE one.states IS NULL OR strpos(one.states, one.state) > 0
    RETURNING 1
)
"""  # noqa: S608 - a constant

# Whether anybody listens at all, for a statement of SQLite.
SQLITE_LISTENING = "EXISTS (SELECT 1 FROM subscriptions) OR EXISTS (SELECT 1 FROM webhooks)"


class Ended(NamedTuple):
    """A job that has just got its result."""

    id: JobId
    model: str
    state: State


def is_listening(connection: Connection) -> bool:
    return bool(connection.scalar(select(or_(exists(select(subscriptions.c.job_id)), exists(select(webhooks.c.id))))))


def record(connection: Connection, ended: Sequence[Ended], now: float) -> int:
    """Write what is to be delivered about these, in the transaction that ended them; how many."""
    gone = delete(subscriptions).where(one_of(connection, subscriptions.c.job_id, [job.id for job in ended]))
    subscribed = {row.job_id: row for row in connection.execute(gone.returning(subscriptions))}
    followed = connection.execute(select(webhooks).where(webhooks.c.disabled_at.is_(None))).all()
    rows = []
    for job in ended:
        listeners: list[tuple[Row[Any], str | None, str | None]] = [
            (webhook, webhook.id, None) for webhook in followed if webhook.model in (None, job.model)
        ]
        if job.id in subscribed:
            subscription = subscribed[job.id]
            listeners.append((subscription, None, subscription.owner))
        rows += [
            _new_row(job, one, webhook_id, owner, now)
            for one, webhook_id, owner in listeners
            if one.states is None or job.state in one.states
        ]
    if rows:
        connection.execute(insert(table), rows)
    return len(rows)


def _new_row(job: Ended, listener: Row[Any], webhook_id: str | None, owner: str | None, now: float) -> dict[str, Any]:
    return {
        "id": job.id[:TIME_DIGITS] + str(uuid4())[TIME_DIGITS:],
        "job_id": job.id,
        "model": job.model,
        "state": job.state,
        "owner": owner,
        "webhook_id": webhook_id,
        "url": listener.url,
        "host": listener.host,
        "created_at": now,
        "due_at": now,
        "attempts": 0,
    }


class OutboxPart(Part):
    """See `webhook_contract.Outbox`."""

    def claim_deliveries(
        self, *, lease: float, busy: Mapping[str, int], per_host: int, limit: int
    ) -> Sequence[Delivery]:
        hosts = [host for host in self._database.read(_due_hosts) if host != STREAM]
        if not hosts:
            return []
        random.shuffle(hosts)

        def work(connection: Connection) -> list[Delivery]:
            claimed: list[Delivery] = []
            for host in hosts:
                room = min(per_host - busy.get(host, 0), limit - len(claimed))
                if room > 0:
                    claimed += _claim(connection, host, lease, room)
            return claimed

        return self._database.write(work, durable=False)

    def claim_events(self, *, lease: float, limit: int) -> Sequence[Delivery]:
        return self._database.write(lambda connection: _claim(connection, STREAM, lease, limit), durable=False)

    def settle(self, settled: Sequence[Settled]) -> int:
        def work(connection: Connection) -> int:
            return sum(_settle(connection, one) for one in settled)

        return self._database.write(work)

    def drop_events(self, events: Sequence[Delivery]) -> None:
        ids = [event.id for event in events]
        self._database.write(
            lambda connection: connection.execute(delete(table).where(one_of(connection, table.c.id, ids)))
        )

    def delivery(self, delivery_id: str) -> Delivery:
        query = select(table).where(_is(delivery_id))
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise _unknown(delivery_id)
        return _delivery(row)

    def deliveries(
        self,
        *,
        job_id: JobId | None = None,
        webhook_id: str | None = None,
        state: DeliveryState | None = None,
        owner: str | None = None,
        with_jobs_only: bool = False,
        before: str | None = None,
        limit: int = 50,
    ) -> DeliveryPage:
        query = select(table).where(or_(table.c.webhook_id.is_(None), table.c.webhook_id != STREAM))
        if job_id is not None:
            query = query.where(table.c.job_id == job_id, *_about(job_id))
        if webhook_id is not None:
            query = query.where(table.c.webhook_id == webhook_id)
        if state is not None:
            query = query.where(_in_state(state))
        if owner is not None:
            query = query.where(table.c.owner == owner)
        if with_jobs_only:
            query = query.where(table.c.webhook_id.is_(None))
        if before is not None:
            query = query.where(table.c.id < before)
        query = query.order_by(table.c.id.desc()).limit(limit)
        found = [_delivery(row) for row in self._database.read(lambda connection: connection.execute(query).all())]
        return DeliveryPage(found, found[-1].id if len(found) == limit else None)

    def replay(self, delivery_id: str) -> Delivery:
        statement = (
            update(table)
            .where(_is(delivery_id))
            .values(due_at=clock(), attempts=0, ended_at=None, delivered=None)
            .returning(table)
        )
        row = self._database.write(lambda connection: connection.execute(statement).one_or_none())
        if row is None:
            raise _unknown(delivery_id)
        return _delivery(row)


def _due_hosts(connection: Connection) -> list[str]:
    """Hosts that have something due, each found by two steps into the index, however much waits for it."""
    is_due = table.c.due_at.is_not(None)
    first = select(func.min(table.c.host).label("host")).where(is_due)
    hosts = first.cte("hosts", recursive=True)
    following = select(func.min(table.c.host)).where(is_due, table.c.host > hosts.c.host).scalar_subquery()
    hosts = hosts.union_all(select(following).where(hosts.c.host.is_not(None)))
    has_due = exists(select(table.c.id).where(table.c.host == hosts.c.host, table.c.due_at <= clock()))
    return list(connection.scalars(select(hosts.c.host).where(hosts.c.host.is_not(None), has_due)))


def _claim(connection: Connection, host: str, lease: float, limit: int) -> list[Delivery]:
    due = (
        select(table.c.id)
        .where(table.c.host == host, table.c.due_at <= clock())
        .order_by(table.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.scalars(due))
    if not ids:
        return []
    rows = connection.execute(
        update(table)
        .where(one_of(connection, table.c.id, ids))
        .values(due_at=clock() + lease, attempts=table.c.attempts + 1, attempted_at=clock())
        .returning(table)
    ).all()
    return sorted(map(_delivery, rows), key=lambda one: (one.created_at, one.job_id))


def _settle(connection: Connection, settled: Settled) -> int:
    """1, or 0 when the claim was lost: the time until which it held is what it is known by."""
    again = settled.due_in is not None
    claim = settled.delivery
    statement = (
        update(table)
        .where(table.c.id == claim.id, table.c.due_at == bindparam("held_until"))
        .values(
            due_at=clock() + settled.due_in if settled.due_in is not None else None,
            ended_at=None if again else clock(),
            delivered=None if again else settled.delivered,
            status=settled.status,
            error=storable(settled.error and settled.error[:MAX_ERROR]),
        )
    )
    return connection.execute(statement, {"held_until": claim.due_at}).rowcount


def _about(job_id: JobId) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The ids that deliveries about the job can have."""
    head = job_id[:TIME_DIGITS]
    return table.c.id >= f"{head}000-0000-000000000000", table.c.id <= f"{head}fff-ffff-ffffffffffff"


def _in_state(state: DeliveryState) -> ColumnElement[bool]:
    if state is DeliveryState.PENDING:
        return table.c.ended_at.is_(None)
    return table.c.delivered.is_(state is DeliveryState.DELIVERED)


def _is(delivery_id: str) -> ColumnElement[bool]:
    """Raises UnknownDelivery for what is no id at all."""
    known = parse_job_id(delivery_id)
    if known is None:
        raise _unknown(delivery_id)
    return (table.c.id == known) & or_(table.c.webhook_id.is_(None), table.c.webhook_id != STREAM)


def _unknown(delivery_id: str) -> UnknownDelivery:
    return UnknownDelivery(f"no delivery has the id {delivery_id!r}: it never was, or was purged")


def _delivery(row: Row[Any]) -> Delivery:
    state = DeliveryState.PENDING
    if row.ended_at is not None:
        state = DeliveryState.DELIVERED if row.delivered else DeliveryState.FAILED
    return Delivery(
        id=row.id,
        job_id=JobId(row.job_id),
        model=row.model,
        job_state=State(row.state),
        owner=row.owner,
        webhook_id=row.webhook_id,
        url=row.url,
        host=row.host,
        created_at=row.created_at,
        due_at=row.due_at,
        attempts=row.attempts,
        attempted_at=row.attempted_at,
        status=row.status,
        error=row.error,
        ended_at=row.ended_at,
        state=state,
    )
