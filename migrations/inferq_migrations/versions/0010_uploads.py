"""Bodies of many rows that come over HTTP."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite"), nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Text),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("deadline", sa.Double),
        sa.Column("metadata", sa.Text),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("bytes_total", sa.BigInteger),
        sa.Column("reader", sa.Text, nullable=False),
        sa.Column("accepted", sa.BigInteger, nullable=False),
        sa.Column("rows_digest", sa.Text, nullable=False),
        sa.Column("bytes_read", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("heard_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_idempotency_key", "uploads", ["idempotency_key"], unique=True)
    op.create_index("ix_uploads_started_ms", "uploads", ["started_ms"], unique=True)


def downgrade() -> None:
    op.drop_table("uploads")
