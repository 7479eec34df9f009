"""What computes a version's predictions, why, and where the converted artifact lies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default is for versions that are there, and for a program of the revision before that goes on registering.
    op.add_column("versions", sa.Column("runtime", sa.Text, nullable=False, server_default="sklearn"))
    for name in ("runtime_reason", "onnx_uri", "onnx_digest"):
        op.add_column("versions", sa.Column(name, sa.Text))


def downgrade() -> None:
    for name in ("onnx_digest", "onnx_uri", "runtime_reason", "runtime"):
        op.drop_column("versions", name)
