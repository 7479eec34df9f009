"""Schema changes: `upgrade`, `downgrade` and `check`, on SQLite and PostgreSQL. Every URL may hold a password."""

from inferq_migrations.runner import check, downgrade, upgrade

__all__ = ["check", "downgrade", "upgrade"]
