"""Webhooks of models, and the secrets that sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.errors import InvalidInput, UnknownModel, UnknownWebhook
from inferq_core.signing import secret_of_webhook
from inferq_core.states import State
from inferq_core.store.part import Part
from inferq_core.store.sql import clock
from inferq_core.store.tables import models, webhook_deliveries, webhook_secrets, webhooks
from inferq_core.store.webhook_records import STREAM, NewWebhook, WebhookRecord

# Each makes a row of every job that ends.
MAX_WEBHOOKS = 10


class WebhooksPart(Part):
    """See `webhook_contract.Webhooks`."""

    def add_webhook(self, webhook: NewWebhook, secret: str) -> WebhookRecord:
        def work(connection: Connection) -> Row[Any]:
            # Locked, so that two at once do not both find room.
            model = select(models.c.name).where(models.c.name == webhook.model).with_for_update()
            if connection.scalar(model) is None:
                raise UnknownModel(f"no model is called {webhook.model!r}")
            there = select(func.count()).select_from(webhooks).where(webhooks.c.model == webhook.model)
            if (connection.scalar(there) or 0) >= MAX_WEBHOOKS:
                raise InvalidInput(f"model {webhook.model!r} has {MAX_WEBHOOKS} webhooks: delete one of them first")
            row = connection.execute(insert(webhooks).values(_values(webhook)).returning(webhooks)).one()
            _put_secret(connection, secret_of_webhook(webhook.id), secret)
            return row

        return _webhook(self._database.write(work))

    def webhook(self, webhook_id: str) -> WebhookRecord:
        query = select(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.model.is_not(None))
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise _unknown(webhook_id)
        return _webhook(row)

    def webhooks(self, model: str | None = None) -> Sequence[WebhookRecord]:
        wanted = webhooks.c.model.is_not(None) if model is None else webhooks.c.model == model
        query = select(webhooks).where(wanted).order_by(webhooks.c.created_at, webhooks.c.id)
        return [_webhook(row) for row in self._database.read(lambda connection: connection.execute(query).all())]

    def remove_webhook(self, webhook_id: str) -> None:
        def work(connection: Connection) -> None:
            gone = delete(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.model.is_not(None))
            if connection.execute(gone).rowcount == 0:
                raise _unknown(webhook_id)
            name = secret_of_webhook(webhook_id)
            connection.execute(delete(webhook_secrets).where(webhook_secrets.c.id == name))
            _give_up(connection, webhook_id, "the webhook was deleted")

        self._database.write(work)

    def disable_webhook(self, webhook_id: str, reason: str) -> None:
        def work(connection: Connection) -> None:
            current = webhooks.c.id == webhook_id, webhooks.c.disabled_at.is_(None)
            connection.execute(update(webhooks).where(*current).values(disabled_at=clock(), disabled_reason=reason))
            _give_up(connection, webhook_id, "the webhook is disabled")

        self._database.write(work)

    def enable_webhook(self, webhook_id: str) -> WebhookRecord:
        statement = (
            update(webhooks)
            .where(webhooks.c.id == webhook_id, webhooks.c.model.is_not(None))
            .values(disabled_at=None, disabled_reason=None)
            .returning(webhooks)
        )
        row = self._database.write(lambda connection: connection.execute(statement).one_or_none())
        if row is None:
            raise _unknown(webhook_id)
        return _webhook(row)

    def follow_all(self, *, wanted: bool) -> None:
        def work(connection: Connection) -> None:
            if wanted:
                stream = {"id": STREAM, "url": "", "host": STREAM, "created_at": clock()}
                insert_for = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
                connection.execute(insert_for(webhooks).values(stream).on_conflict_do_nothing())
            else:
                connection.execute(delete(webhooks).where(webhooks.c.id == STREAM))
                connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook_id == STREAM))

        self._database.write(work)

    def signing_secrets(self, name: str) -> Sequence[str]:
        return self._database.read(lambda connection: _secrets(connection, name))

    def make_secret(self, name: str, secret: str) -> Sequence[str]:
        found = self.signing_secrets(name)
        if found:
            return found

        def work(connection: Connection) -> Sequence[str]:
            insert_for = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            values = {"id": name, "secret": secret, "created_at": clock()}
            connection.execute(insert_for(webhook_secrets).values(values).on_conflict_do_nothing())
            return _secrets(connection, name)

        return self._database.write(work)

    def rotate_secret(self, name: str, secret: str, *, keep: float) -> None:
        def work(connection: Connection) -> None:
            statement = (
                update(webhook_secrets)
                .where(webhook_secrets.c.id == name)
                .values(previous=webhook_secrets.c.secret, previous_until=clock() + keep, secret=secret)
            )
            if connection.execute(statement).rowcount == 0:
                _put_secret(connection, name, secret)

        self._database.write(work)


def states_text(states: Sequence[State] | None) -> str | None:
    """As they are stored; no name of a state is part of another's."""
    return None if states is None else ",".join(dict.fromkeys(states))


def states_of(text: str | None) -> tuple[State, ...] | None:
    return None if text is None else tuple(map(State, text.split(",")))


def _values(webhook: NewWebhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "model": webhook.model,
        "url": webhook.url,
        "host": webhook.host,
        "states": states_text(webhook.states),
        "created_at": clock(),
    }


def _put_secret(connection: Connection, name: str, secret: str) -> None:
    connection.execute(insert(webhook_secrets).values(id=name, secret=secret, created_at=clock()))


def _secrets(connection: Connection, name: str) -> list[str]:
    still_signs = webhook_secrets.c.previous_until > clock()
    query = select(webhook_secrets.c.secret, webhook_secrets.c.previous, still_signs.label("still_signs"))
    row = connection.execute(query.where(webhook_secrets.c.id == name)).one_or_none()
    if row is None:
        return []
    return [row.secret, row.previous] if row.still_signs else [row.secret]


def _give_up(connection: Connection, webhook_id: str, reason: str) -> None:
    """End what is to be delivered there."""
    table = webhook_deliveries
    connection.execute(
        update(table)
        .where(table.c.webhook_id == webhook_id, table.c.due_at.is_not(None))
        .values(due_at=None, ended_at=clock(), delivered=False, error=reason)
    )


def _unknown(webhook_id: str) -> UnknownWebhook:
    return UnknownWebhook(f"no webhook has the id {webhook_id!r}: `inferq webhooks list` shows them")


def _webhook(row: Row[Any]) -> WebhookRecord:
    return WebhookRecord(
        id=row.id,
        model=row.model,
        url=row.url,
        states=states_of(row.states),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
    )
