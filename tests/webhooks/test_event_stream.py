"""The event stream: every prediction that ends is an entry of a Redis stream."""

import json
from contextlib import closing

import pytest
from given import LOG, claimed, new_job, succeeded
from harness import running, wait_for

from inferq_core.errors import SettingsError
from inferq_core.settings import Settings
from inferq_core.store import open_store
from inferq_workers.delivery.stream import EventStream

NAME = "inferq.events"
PATIENCE = 60


def test_whatever_ends_is_in_the_stream_also_what_ended_while_nobody_delivered(tmp_path, redis_binary):
    with running(tmp_path, redis_binary, None, event_stream=NAME) as system:

        def deliverer():
            started = system.start_deliverer()
            wait_for(lambda: "ready" in started.log.read_text(), timeout=PATIENCE, what="the deliverer")
            return started

        def events(count):
            def look():
                entries = system.broker.client.xrange(NAME)
                return entries if len(entries) >= count else None

            return [fields for _, fields in wait_for(look, timeout=PATIENCE, what=f"{count} events")]

        first = deliverer()
        batch_id, ids = claimed(system.store, 3)
        system.store.complete(batch_id, [succeeded(job_id) for job_id in ids], LOG)
        events(3)
        system.kill(first)
        (job_id,) = system.store.accept([new_job(model="others")]).ids
        system.store.cancel([job_id])
        deliverer()
        found = [json.loads(fields[b"event"]) for fields in events(4)]
        assert {event["id"] for event in found} == {f"{one}-succeeded" for one in ids} | {f"{job_id}-cancelled"}
        assert found[-1]["type"] == "inferq.prediction.cancelled"
        assert found[-1]["data"]["model"] == "others"
        assert [fields[b"id"].decode() for fields in events(4)] == [event["id"] for event in found]
        assert system.store.claim_events(lease=1.0, limit=10) == []


def test_a_broker_without_streams_is_told_of(tmp_path):
    settings = Settings(home=tmp_path, broker_url="amqp://me:secret@127.0.0.1:1", event_stream=NAME)
    with closing(open_store(settings)) as store, pytest.raises(SettingsError, match="INFERQ_EVENT_STREAM") as raised:
        EventStream(settings, store)
    assert "secret" not in str(raised.value)
