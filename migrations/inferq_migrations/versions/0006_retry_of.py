"""Which job a job retries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("retry_of", sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")))


def downgrade() -> None:
    op.drop_column("jobs", "retry_of")
