"""An index on the results of jobs that did not succeed: they are few, and people look for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WHERE = "state <> 'succeeded'"


def upgrade() -> None:
    op.create_index(
        "ix_results_not_succeeded", "results", ["id"], postgresql_where=sa.text(WHERE), sqlite_where=sa.text(WHERE)
    )


def downgrade() -> None:
    op.drop_index("ix_results_not_succeeded", "results")
