"""Who may do what in a PostgreSQL store: three roles with few rights beside the owner of the tables.

The owner migrates, registers models, runs the keeper (partitions belong to whoever owns their table) and operates.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from inferq_core.store.tables import metadata

ALEMBIC = "alembic_version"


class Role(StrEnum):
    SUBMIT = "inferq_submit"
    WORKER = "inferq_worker"
    DELIVERER = "inferq_deliverer"


# What each role may write, by table. All read everything but secrets: jobs are waited for, workers predict them, and
# those who deliver tell of them.
#
# A new pending job is queued: without the columns of a claim nobody who submits can hold jobs, and without UPDATE and
# DELETE nobody can end them. A cancellation ends jobs, so it is not among the rights of those who submit.
_QUEUED = (
    "id, model, queue, priority, n_rows, attempts, solo_crashes, published_at, republished, created_at, deadline_at"
)
_READ_ON = "reader, accepted, rows_digest, bytes_read, state, reason, heard_at, ended_at"
WRITES: Mapping[Role, Mapping[str, str]] = {
    Role.SUBMIT: {
        "jobs": "INSERT",
        "pending": f"INSERT ({_QUEUED})",
        "idempotency_keys": "INSERT",
        "feedback": "INSERT",
        "subscriptions": "INSERT",
        "uploads": f"INSERT, UPDATE ({_READ_ON})",
    },
    Role.WORKER: {
        "pending": "UPDATE, DELETE",
        "batches": "INSERT, UPDATE",
        "results": "INSERT",
        "logs": "INSERT",
        "workers": "INSERT, UPDATE, DELETE",
        "scaling_decisions": "INSERT",
        "subscriptions": "DELETE",
        "webhook_deliveries": "INSERT",
    },
    Role.DELIVERER: {
        "logs": "INSERT",
        "leases": "INSERT, UPDATE",
        "webhooks": "INSERT, UPDATE, DELETE",
        "webhook_secrets": "SELECT, INSERT",
        "webhook_deliveries": "UPDATE, DELETE",
    },
}
# What only those may read who are given it above.
_SECRET = frozenset({"webhook_secrets"})
# Where PostgreSQL numbers the rows that a role inserts.
_SEQUENCES: Mapping[Role, str] = {
    Role.SUBMIT: "feedback_id_seq",
    Role.WORKER: "logs_id_seq",
    Role.DELIVERER: "logs_id_seq",
}


def roles_sql() -> str:
    """Statements that make the roles, without passwords, and set their rights to exactly these.

    They may be run again at any time, by a superuser or by an owner with CREATEROLE, and should be after each upgrade.
    """
    return "\n".join(["BEGIN;", *_everybody(), *(line for role in Role for line in _role(role)), "COMMIT;"])


def _everybody() -> list[str]:
    tables = ", ".join(_tables())
    return [
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
        f"REVOKE ALL ON {tables} FROM PUBLIC;",
    ]


def _role(role: Role) -> list[str]:
    exists = f"SELECT FROM pg_roles WHERE rolname = '{role}'"
    return [
        f"DO $$ BEGIN IF NOT EXISTS ({exists}) THEN CREATE ROLE {role} LOGIN; END IF; END $$;",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role};",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {role};",
        f"GRANT USAGE ON SCHEMA public TO {role};",
        f"GRANT SELECT ON {', '.join(name for name in _tables() if name not in _SECRET)} TO {role};",
        *(f"GRANT {rights} ON {table} TO {role};" for table, rights in WRITES[role].items()),
        f"GRANT USAGE ON SEQUENCE {_SEQUENCES[role]} TO {role};",
    ]


def _tables() -> list[str]:
    return [*sorted(metadata.tables), ALEMBIC]
