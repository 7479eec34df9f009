"""What alembic runs for every command; the connection comes from `inferq_migrations.runner`."""

from __future__ import annotations

from alembic import context

from inferq_core.store.tables import metadata
from inferq_migrations.runner import is_ours

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("migrations run through `inferq db upgrade`, not through the alembic command")

# The runner holds the transaction: a migration happens as a whole or not at all, on SQLite too.
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_object=is_ours,
    compare_type=True,
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
