"""How many requests a key may send."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("rate", sa.Double))
    op.add_column("api_keys", sa.Column("burst", sa.Integer))


def downgrade() -> None:
    op.drop_column("api_keys", "burst")
    op.drop_column("api_keys", "rate")
