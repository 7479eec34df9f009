"""The seconds that a model's batches shall take: fewer rows are put into one then."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("latency_target", sa.Double))


def downgrade() -> None:
    op.drop_column("models", "latency_target")
