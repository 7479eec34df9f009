"""Rows that a model may have unfinished, and what workers learned of the costs of batches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("max_backlog", sa.Integer))
    op.add_column("workers", sa.Column("costs", sa.Text))


def downgrade() -> None:
    op.drop_column("workers", "costs")
    op.drop_column("models", "max_backlog")
