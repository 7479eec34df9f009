"""The event stream: what ended, as entries of a Redis stream that other systems read at their own pace."""

from __future__ import annotations

import redis

from inferq_core.broker import CONNECT_TIMEOUT
from inferq_core.broker_url import is_redis
from inferq_core.documents import cloud_event
from inferq_core.errors import BrokerUnavailable, SettingsError
from inferq_core.redis_lists import client_of
from inferq_core.settings import Settings, redact
from inferq_core.store.contract import Store

# Events that are published together, and seconds that this may take before others try.
CHUNK = 200
LEASE = 15.0


class EventStream:
    """Publishes at least once: an entry that comes twice has the same `id`."""

    def __init__(self, settings: Settings, store: Store) -> None:
        """Raises SettingsError for a broker that has no streams."""
        self._settings = settings
        self._store = store
        self._name = settings.event_stream
        self._client: redis.Redis | None = None
        if self._name is None:
            return
        if not is_redis(settings.broker):
            raise SettingsError(
                f"INFERQ_EVENT_STREAM={self._name}: the stream is one of Redis or Valkey, and the broker is "
                f"{redact(settings.broker)}. Use webhooks there"
            )
        self._client = client_of(settings.broker, connect_timeout=CONNECT_TIMEOUT, timeout=CONNECT_TIMEOUT)

    @property
    def is_wanted(self) -> bool:
        return self._client is not None

    def publish_some(self) -> int:
        """Publish what waits, the oldest first; how many. Raises StoreError, BrokerUnavailable."""
        if self._client is None or self._name is None:
            return 0
        events = self._store.claim_events(lease=LEASE, limit=CHUNK)
        if not events:
            return 0
        known = self._store.now_of([event.job_id for event in events])
        pipeline = self._client.pipeline(transaction=False)
        for event in events:
            now = known.get(event.job_id)
            if now is not None and now.result is not None:
                entry = {"id": event.event_id, "event": cloud_event(event, now, self._store.store_id)}
                pipeline.xadd(self._name, entry, maxlen=self._settings.event_stream_length)  # type: ignore[arg-type]
        try:
            pipeline.execute()
        except (redis.RedisError, OSError) as error:
            raise BrokerUnavailable(f"the event stream takes nothing: {type(error).__name__}: {error}") from error
        self._store.drop_events(events)
        return len(events)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
