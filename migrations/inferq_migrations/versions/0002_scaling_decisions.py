"""Why a worker has as many processes as it has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scaling_decisions",
        sa.Column("id", sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite"), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("from_processes", sa.Integer, nullable=False),
        sa.Column("to_processes", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_scaling_decisions"),
    )


def downgrade() -> None:
    op.drop_table("scaling_decisions")
