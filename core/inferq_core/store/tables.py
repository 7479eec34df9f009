"""The tables, in SQLAlchemy Core. `docs/adr/0002-store.md` says what is where and why.

A change here needs a migration in `inferq_migrations/versions`; `inferq db check` tells when they disagree.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
    text,
)

# The newest migration. Revisions are numbers in order, so that "older than" can be told without alembic.
SCHEMA_REVISION = "0011"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# Dashed text on both sides of the driver; 16 bytes on disk on PostgreSQL.
Id = Uuid(as_uuid=False).with_variant(String(36), "sqlite")
# SQLite numbers rows by itself only in a column declared INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

# `store_id`, made by the first migration; `host`, the one host that may use a SQLite store.
meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Text),
    Column("method", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("n_rows", Integer, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("routing_key", Text),
    Column("routing_hash", BigInteger, nullable=False),
    Column("idempotency_key", Text),
    Column("metadata", Text),
    Column("reply_to", Text),
    Column("traceparent", Text),
    Column("created_at", Double, nullable=False),
    Column("deadline_at", Double),
    Column("retry_of", Id),
    Column("owner", Text),
    postgresql_partition_by="RANGE (id)",
)

# Unfinished jobs only. An update that changes no indexed column stays on its page (HOT): index nothing that changes.
pending = Table(
    "pending",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("n_rows", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("solo_crashes", Integer, nullable=False),
    Column("group_limit", Integer),
    Column("batch_id", Id),
    Column("published_at", Double, nullable=False),
    Column("republished", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("deadline_at", Double),
    postgresql_with={"fillfactor": "50"},
)
Index(
    "ix_pending_deadline_at",
    pending.c.deadline_at,
    postgresql_where=text("deadline_at IS NOT NULL"),
    sqlite_where=text("deadline_at IS NOT NULL"),
)

# `n_open`: jobs that the batch still holds. `outcome`: completed, released, lost, expired or cancelled.
batches = Table(
    "batches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("worker", Text, nullable=False),
    Column("claimed_at", Double, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("n_jobs", Integer, nullable=False),
    Column("n_rows", Integer, nullable=False),
    Column("n_open", Integer, nullable=False),
    Column("predict_seconds", Double),
    Column("finished_at", Double),
    Column("outcome", Text),
    postgresql_with={"fillfactor": "70"},
)
# For the keeper, which looks for leases that ran out. It must not cover lease_until, which every renewal changes.
Index(
    "ix_batches_unfinished",
    batches.c.id,
    postgresql_where=text("finished_at IS NULL"),
    sqlite_where=text("finished_at IS NULL"),
)

results = Table(
    "results",
    metadata,
    Column("id", Id, primary_key=True),
    Column("state", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer),
    Column("variant", Text),
    Column("outputs", Text),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("attempt", Integer, nullable=False),
    Column("batch_id", Id),
    Column("batch_rows", Integer, nullable=False),
    Column("worker", Text),
    Column("created_at", Double, nullable=False),
    Column("claimed_at", Double),
    Column("predicted_at", Double),
    Column("completed_at", Double, nullable=False),
    postgresql_partition_by="RANGE (id)",
)

# For whoever looks for what went wrong; the jobs that went well, nearly all, cost it nothing.
NOT_SUCCEEDED = "state <> 'succeeded'"
Index(
    "ix_results_not_succeeded",
    results.c.id,
    postgresql_where=text(NOT_SUCCEEDED),
    sqlite_where=text(NOT_SUCCEEDED),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("job_id", Id, nullable=False),
    Column("payload_digest", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

# Ids are text: a log entry may name a job that never existed.
logs = Table(
    "logs",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("level", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("model", Text),
    Column("version", Integer),
    Column("job_id", Text),
    Column("batch_id", Text),
    Column("worker", Text),
    Column("fields", Text, nullable=False),
)
Index(
    "ix_logs_job_id",
    logs.c.job_id,
    postgresql_where=text("job_id IS NOT NULL"),
    sqlite_where=text("job_id IS NOT NULL"),
)

models = Table(
    "models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("queue", Text),
    Column("max_batch_rows", Integer),
    Column("time_limit", Double),
    Column("latency_target", Double),
    Column("max_backlog", Integer),
    Column("created_at", Double, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("model", Text, ForeignKey("models.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("uri", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("trusted_types", Text, nullable=False),
    Column("trust_pickle", Boolean, nullable=False),
    Column("sklearn_version", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("runtime", Text, nullable=False, server_default="sklearn"),
    Column("runtime_reason", Text),
    Column("onnx_uri", Text),
    Column("onnx_digest", Text),
    Column("created_at", Double, nullable=False),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", Text, primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("changed_at", Double, nullable=False),
    ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
)

# The model's rollout, if it has one. `variants`: JSON list of role, version and weight, the primary first.
rollouts = Table(
    "rollouts",
    metadata,
    Column("model", Text, ForeignKey("models.name"), primary_key=True),
    Column("variants", Text, nullable=False),
    Column("changed_at", Double, nullable=False),
)

# `before`, `after`: as `rollouts.variants`, empty lists where there was no rollout.
rollout_events = Table(
    "rollout_events",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("model", Text, nullable=False, index=True),
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("job_id", Id, nullable=False, index=True),
    Column("actual", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

# `marks`: JSON list of [queue, priority, newest published_at received, oldest one buffered or null].
# `buffered`: JSON object of rows by queue.
workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("queues", Text, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("marks", Text, nullable=False),
    Column("buffered", Text, nullable=False),
    Column("costs", Text),
    Column("seen_at", Double, nullable=False),
    Column("stopped_at", Double),
)

# `id` is a UUIDv7 made by the worker, so that its order is that of time; `inputs` a JSON object.
scaling_decisions = Table(
    "scaling_decisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Double, nullable=False),
    Column("worker", Text, nullable=False),
    Column("from_processes", Integer, nullable=False),
    Column("to_processes", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("inputs", Text, nullable=False),
)

# Keys of the HTTP gateway. `digest`: SHA-256 of the whole key. `scopes`: JSON list; `models`: JSON list of patterns.
# `rate`: requests a second that it may send, `burst` at once; null: any number.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("models", Text),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("rate", Double),
    Column("burst", Integer),
)

# Who wants to be told how jobs end: of one model, or of all (the event stream alone). `states`: names of states between
# commas, NULL for all; `host`: what deliveries to one receiver are counted by.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text),
    Column("url", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("states", Text),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("disabled_reason", Text),
)

# The webhooks of single jobs that have not ended: when one ends, its row goes, and a delivery is made of it.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("url", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("states", Text),
    Column("owner", Text),
)

# What deliveries are signed with, as it is: an HMAC needs it. Nobody but the owner of the tables, and the role that
# delivers, may read it. `id`: see `inferq_core.signing`.
webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret", Text, nullable=False),
    Column("previous", Text),
    Column("previous_until", Double),
    Column("created_at", Double, nullable=False),
)

# The outbox: written in the transaction that ends the job, and kept as the record of what was sent. `id` has the time
# of its job's id. `due_at`: when it is tried next, or, while it is tried, when others may; NULL once it has ended.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("owner", Text),
    Column("webhook_id", Text),
    Column("url", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("due_at", Double),
    Column("attempts", Integer, nullable=False),
    Column("attempted_at", Double),
    Column("status", Integer),
    Column("error", Text),
    Column("ended_at", Double),
    Column("delivered", Boolean),
)
Index(
    "ix_webhook_deliveries_due",
    webhook_deliveries.c.host,
    webhook_deliveries.c.due_at,
    postgresql_where=text("due_at IS NOT NULL"),
    sqlite_where=text("due_at IS NOT NULL"),
)
# Bodies of many rows that came over HTTP. The ids of their jobs follow from `secret` and `started_ms`, which no other
# job shares, so that nothing is kept for each of them. `reader`: the request that reads the body, and the fence of what
# it writes.
uploads = Table(
    "uploads",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Text),
    Column("idempotency_key", Text),
    Column("model", Text, nullable=False),
    Column("version", Text),
    Column("method", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("deadline", Double),
    Column("metadata", Text),
    Column("format", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("bytes_total", BigInteger),
    Column("reader", Text, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("rows_digest", Text, nullable=False),
    Column("bytes_read", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("created_at", Double, nullable=False),
    Column("heard_at", Double, nullable=False),
    Column("ended_at", Double),
)
Index("ix_uploads_idempotency_key", uploads.c.idempotency_key, unique=True)
Index("ix_uploads_started_ms", uploads.c.started_ms, unique=True)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Double, nullable=False),
)
