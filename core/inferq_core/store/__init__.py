"""The SQL store: the truth about every job. `contract.py` says what it promises, `records.py` what goes in and out."""

from __future__ import annotations

from sqlalchemy import select

from inferq_core.errors import SchemaOutdated
from inferq_core.settings import Settings
from inferq_core.store.batches import BatchesPart
from inferq_core.store.changes import ChangesPart
from inferq_core.store.contract import Store
from inferq_core.store.engine import Database
from inferq_core.store.feedback import FeedbackPart
from inferq_core.store.keys import KeysPart
from inferq_core.store.life import LifePart
from inferq_core.store.listing import ListingPart
from inferq_core.store.load import LoadPart
from inferq_core.store.logs import LogsPart
from inferq_core.store.opening import open_database
from inferq_core.store.outbox import OutboxPart
from inferq_core.store.purging import PurgingPart
from inferq_core.store.registry import RegistryPart
from inferq_core.store.retrying import RetryingPart
from inferq_core.store.rollouts import RolloutsPart
from inferq_core.store.scaling import ScalingPart
from inferq_core.store.sql import read_clock
from inferq_core.store.stats import StatsPart
from inferq_core.store.tables import meta
from inferq_core.store.translation import UPGRADE_HINT
from inferq_core.store.upkeep import UpkeepPart
from inferq_core.store.uploads import UploadsPart
from inferq_core.store.webhooks import WebhooksPart

__all__ = ["SqlStore", "Store", "open_store"]

# While one transaction is at the server, the next is being prepared; a third finds no idle time of the interpreter.
POSTGRESQL_WRITERS = 2


class SqlStore(
    LifePart,
    RetryingPart,
    ListingPart,
    FeedbackPart,
    BatchesPart,
    UpkeepPart,
    PurgingPart,
    RegistryPart,
    ChangesPart,
    RolloutsPart,
    KeysPart,
    WebhooksPart,
    OutboxPart,
    UploadsPart,
    LogsPart,
    LoadPart,
    ScalingPart,
    StatsPart,
):
    """All of `contract.Store`, on SQLite or PostgreSQL. Safe to share between threads and to use after a fork."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._store_id: str | None = None

    @property
    def concurrent_writers(self) -> int:
        return 1 if self._database.is_sqlite else POSTGRESQL_WRITERS

    @property
    def store_id(self) -> str:
        if self._store_id is None:
            query = select(meta.c.value).where(meta.c.key == "store_id")
            self._store_id = self._database.read(lambda connection: connection.scalar(query))
        if self._store_id is None:
            raise SchemaOutdated(f"{self._database.shown} has no store id: {UPGRADE_HINT}")
        return self._store_id

    def now(self) -> float:
        return self._database.read(read_clock)

    def close(self) -> None:
        self._database.close()


def open_store(settings: Settings) -> SqlStore:
    """The store that `settings` name; see `opening.open_database` for when it connects and what it raises."""
    return SqlStore(open_database(settings))
