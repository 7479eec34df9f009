"""How many requests a key may send; rollouts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("rate", sa.Double))
    op.add_column("api_keys", sa.Column("burst", sa.Integer))
    op.create_table(
        "rollouts",
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("variants", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_rollouts"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_rollouts_model"),
    )
    op.create_table(
        "rollout_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollout_events"),
    )
    op.create_index("ix_rollout_events_model", "rollout_events", ["model"])


def downgrade() -> None:
    op.drop_table("rollout_events")
    op.drop_table("rollouts")
    op.drop_column("api_keys", "burst")
    op.drop_column("api_keys", "rate")
