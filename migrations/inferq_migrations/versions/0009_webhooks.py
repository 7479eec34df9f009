"""Webhooks, their secrets, and the outbox of what is to be delivered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# 16 bytes on PostgreSQL, dashed text on SQLite.
ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("states", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("disabled_at", sa.Double),
        sa.Column("disabled_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("states", sa.Text),
        sa.Column("owner", sa.Text),
        sa.PrimaryKeyConstraint("job_id", name="pk_subscriptions"),
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("previous_until", sa.Double),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_secrets"),
    )
    _outbox()


def _outbox() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("webhook_id", sa.Text),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("due_at", sa.Double),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("attempted_at", sa.Double),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("ended_at", sa.Double),
        sa.Column("delivered", sa.Boolean),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["host", "due_at"],
        postgresql_where=due,
        sqlite_where=due,
    )


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_secrets")
    op.drop_table("subscriptions")
    op.drop_table("webhooks")
