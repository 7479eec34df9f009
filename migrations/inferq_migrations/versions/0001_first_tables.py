"""Jobs, pending jobs, batches, results, the registry, logs, feedback, workers and leases."""

from __future__ import annotations

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_meta()
    _create_jobs()
    _create_pending()
    _create_batches()
    _create_results()
    _create_registry()
    _create_history()
    _create_processes()
    if op.get_bind().dialect.name == "postgresql":
        for parent in ("jobs", "results"):
            op.execute(f"CREATE TABLE {parent}_default PARTITION OF {parent} DEFAULT")


def downgrade() -> None:
    for table in (
        "leases",
        "workers",
        "feedback",
        "logs",
        "idempotency_keys",
        "aliases",
        "versions",
        "models",
        "results",
        "batches",
        "pending",
        "jobs",
        "meta",
    ):
        op.drop_table(table)


def _create_meta() -> None:
    meta = op.create_table(
        "meta",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    op.bulk_insert(meta, [{"key": "store_id", "value": str(uuid4())}])


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", ID, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Text),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("n_rows", sa.Integer, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("routing_key", sa.Text),
        sa.Column("routing_hash", sa.BigInteger, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("metadata", sa.Text),
        sa.Column("reply_to", sa.Text),
        sa.Column("traceparent", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("deadline_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        postgresql_partition_by="RANGE (id)",
    )


def _create_pending() -> None:
    op.create_table(
        "pending",
        sa.Column("id", ID, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("n_rows", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("solo_crashes", sa.Integer, nullable=False),
        sa.Column("group_limit", sa.Integer),
        sa.Column("batch_id", ID),
        sa.Column("published_at", sa.Double, nullable=False),
        sa.Column("republished", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("deadline_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_pending"),
        postgresql_with={"fillfactor": "50"},
    )
    _partial_index("ix_pending_deadline_at", "pending", "deadline_at", "deadline_at IS NOT NULL")


def _create_batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", ID, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("claimed_at", sa.Double, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.Column("n_jobs", sa.Integer, nullable=False),
        sa.Column("n_rows", sa.Integer, nullable=False),
        sa.Column("n_open", sa.Integer, nullable=False),
        sa.Column("predict_seconds", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("outcome", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
        postgresql_with={"fillfactor": "70"},
    )
    _partial_index("ix_batches_unfinished", "batches", "id", "finished_at IS NULL")


def _create_results() -> None:
    op.create_table(
        "results",
        sa.Column("id", ID, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("variant", sa.Text),
        sa.Column("outputs", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("batch_id", ID),
        sa.Column("batch_rows", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("claimed_at", sa.Double),
        sa.Column("predicted_at", sa.Double),
        sa.Column("completed_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
        postgresql_partition_by="RANGE (id)",
    )


def _create_registry() -> None:
    op.create_table(
        "models",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("queue", sa.Text),
        sa.Column("max_batch_rows", sa.Integer),
        sa.Column("time_limit", sa.Double),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    op.create_table(
        "versions",
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("trusted_types", sa.Text, nullable=False),
        sa.Column("trust_pickle", sa.Boolean, nullable=False),
        sa.Column("sklearn_version", sa.Text, nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_versions"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_versions_model"),
    )
    op.create_table(
        "aliases",
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("model", "alias", name="pk_aliases"),
        sa.ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"], name="fk_aliases_model"),
    )


def _create_history() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("payload_digest", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency_keys"),
    )
    op.create_table(
        "logs",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("version", sa.Integer),
        sa.Column("job_id", sa.Text),
        sa.Column("batch_id", sa.Text),
        sa.Column("worker", sa.Text),
        sa.Column("fields", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_logs"),
    )
    _partial_index("ix_logs_job_id", "logs", "job_id", "job_id IS NOT NULL")
    op.create_table(
        "feedback",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("actual", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_job_id", "feedback", ["job_id"])


def _create_processes() -> None:
    op.create_table(
        "workers",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("queues", sa.Text, nullable=False),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("marks", sa.Text, nullable=False),
        sa.Column("buffered", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("stopped_at", sa.Double),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )


def _partial_index(name: str, table: str, column: str, where: str) -> None:
    op.create_index(name, table, [column], postgresql_where=sa.text(where), sqlite_where=sa.text(where))
