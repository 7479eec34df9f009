"""Webhooks in the store: what is to be told is written where jobs end, claimed with a lease, and never lost."""

from collections import Counter

import pytest
from given import LOG, accepted, claimed, finished, new_job, succeeded
from sqlalchemy import event

from inferq_core.errors import InvalidInput, UnknownDelivery, UnknownModel, UnknownWebhook
from inferq_core.ids import new_job_id
from inferq_core.signing import new_secret, secret_of_webhook
from inferq_core.states import ErrorCode, State
from inferq_core.store.records import Subscription
from inferq_core.store.webhook_records import DeliveryState, NewWebhook, Settled
from inferq_core.store.webhooks import MAX_WEBHOOKS

HERE = Subscription("https://example.com/here", "example.com:443")
FAILURES = HERE._replace(states=(State.FAILED, State.EXPIRED))


def add_webhook(store, model="digits", number=1, states=None):
    store.put_model(model)
    new = NewWebhook(f"{number:012x}", model, f"https://{number}.example/{model}", f"{number}.example:443", states)
    return store.add_webhook(new, new_secret())


def told(store, **filters):
    """(job, state of the job, webhook) of all deliveries."""
    return Counter((one.job_id, one.job_state, one.webhook_id) for one in store.deliveries(**filters).deliveries)


def claim(store, *, lease=60.0, busy=None, per_host=8, limit=100):
    return store.claim_deliveries(lease=lease, busy=busy or {}, per_host=per_host, limit=limit)


def test_however_a_job_ends_is_told_once(store):
    ended = {State.SUCCEEDED: finished(store, 2, webhook=HERE)}
    ended[State.CANCELLED] = accepted(store, webhook=HERE)
    store.cancel(ended[State.CANCELLED])
    ended[State.EXPIRED] = accepted(store, webhook=HERE, deadline=-1.0)
    assert store.expire_overdue() == 1
    batch_id, ended[State.FAILED] = claimed(store, webhook=HERE)
    died = {"code": ErrorCode.WORKER_LOST, "message": "it died", "max_solo_crashes": 1, "max_attempts": 20}
    assert store.recover(batch_id, **died).failed == ended[State.FAILED]
    _, lost = claimed(store, webhook=HERE, lease=-1.0)
    store.recover_expired(max_attempts=1)
    ended[State.FAILED] += lost
    assert told(store) == {(job_id, state, None): 1 for state, ids in ended.items() for job_id in ids}
    assert {one.url for one in store.deliveries().deliveries} == {HERE.url}


def test_only_what_was_asked_for_is_told(store):
    all_ends, failures = add_webhook(store, number=1), add_webhook(store, number=2, states=[State.FAILED])
    add_webhook(store, model="others", number=3)
    well, quiet = finished(store, webhook=HERE), finished(store, webhook=FAILURES)
    batch_id, (bad,) = claimed(store, webhook=FAILURES)
    failed = succeeded(bad)._replace(state=State.FAILED, outputs=None, error_code=ErrorCode.MODEL_ERROR)
    assert store.complete(batch_id, [failed], LOG).n_deliveries == 3
    assert told(store) == {
        (well[0], State.SUCCEEDED, None): 1,
        (well[0], State.SUCCEEDED, all_ends.id): 1,
        (quiet[0], State.SUCCEEDED, all_ends.id): 1,
        (bad, State.FAILED, None): 1,
        (bad, State.FAILED, all_ends.id): 1,
        (bad, State.FAILED, failures.id): 1,
    }
    assert told(store, webhook_id=failures.id) == {(bad, State.FAILED, failures.id): 1}
    assert told(store, job_id=well[0], with_jobs_only=True) == {(well[0], State.SUCCEEDED, None): 1}


def test_while_nobody_listens_completing_takes_no_further_statement(store):
    statements = []
    engine = store._database.engine()
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    batch_id, ids = claimed(store, 3)
    del statements[:]
    assert store.complete(batch_id, [succeeded(id_) for id_ in ids], LOG).n_deliveries == 0
    # On SQLite the rest goes past SQLAlchemy, and is part of what was there before.
    assert len([one for one in statements if "PRAGMA" not in one]) == (0 if engine.dialect.name == "sqlite" else 1)


def test_a_repeated_submit_tells_once(store):
    job = new_job(webhook=HERE, idempotency_key="once", payload_digest="1")
    again = job._replace(id=new_job_id(), webhook=HERE._replace(url="https://example.com/there"))
    assert store.accept([job]).ids == store.accept([again]).ids == store.accept([job]).ids
    store.cancel([job.id])
    store.accept([job])
    assert [one.url for one in store.deliveries().deliveries] == [HERE.url]


def test_a_claim_holds_for_its_lease_and_only_its_holder_settles(store):
    finished(store, webhook=HERE)
    (first,) = claim(store, lease=-1.0)
    (second,) = claim(store)
    assert claim(store) == []
    assert (first.attempts, second.attempts) == (1, 2)
    assert store.settle([Settled(first, status=200, delivered=True)]) == 0
    assert store.settle([Settled(second, status=503, error="it answered with 503", due_in=-1.0)]) == 1
    (third,) = claim(store)
    assert store.settle([Settled(third, status=204, delivered=True)]) == 1
    done = store.delivery(third.id)
    assert (done.state, done.status, done.error, done.due_at) == (DeliveryState.DELIVERED, 204, None, None)
    assert claim(store) == []
    assert store.replay(done.id).state is DeliveryState.PENDING
    (replayed,) = claim(store)
    assert (replayed.event_id, replayed.attempts) == (first.event_id, 1)


def test_one_host_takes_no_more_than_its_share(store):
    many, few = HERE, Subscription("https://few.example/", "few.example:443")
    finished(store, 20, webhook=many)
    finished(store, 3, webhook=few)
    claimed_hosts = Counter(one.host for one in claim(store, per_host=5, busy={many.host: 2}))
    assert claimed_hosts == {many.host: 3, few.host: 3}
    assert Counter(one.host for one in claim(store, per_host=5, limit=4)) == {many.host: 4}


def test_disabled_deleted_and_enabled(store):
    kept, dropped = add_webhook(store, number=1), add_webhook(store, number=2)
    (before,) = finished(store)
    store.disable_webhook(kept.id, "enough")
    store.remove_webhook(dropped.id)
    assert [one.state for one in store.deliveries().deliveries] == [DeliveryState.FAILED] * 2
    assert store.signing_secrets(secret_of_webhook(dropped.id)) == []
    assert store.webhook(kept.id).disabled_reason == "enough"
    finished(store)
    assert {one.job_id for one in store.deliveries().deliveries} == {before}
    assert store.enable_webhook(kept.id).disabled_at is None
    (after,) = finished(store)
    assert told(store, job_id=after) == {(after, State.SUCCEEDED, kept.id): 1}
    for refused in (store.webhook, store.remove_webhook, store.enable_webhook):
        with pytest.raises(UnknownWebhook):
            refused(dropped.id)
    for refused in (store.delivery, store.replay):
        with pytest.raises(UnknownDelivery):
            refused(new_job_id())


def test_a_model_has_a_bounded_number_of_webhooks(store):
    for number in range(MAX_WEBHOOKS):
        add_webhook(store, number=number)
    with pytest.raises(InvalidInput, match="delete one"):
        add_webhook(store, number=99)
    with pytest.raises(UnknownModel):
        store.add_webhook(NewWebhook("1" * 12, "nobody", "https://example.com/", "example.com:443", None), new_secret())


def test_secrets_rotate(store):
    first, second, third = new_secret(), new_secret(), new_secret()
    assert store.make_secret("store", first) == store.make_secret("store", second) == [first]
    store.rotate_secret("store", second, keep=60.0)
    assert store.signing_secrets("store") == [second, first]
    store.rotate_secret("store", third, keep=-1.0)
    assert store.signing_secrets("store") == [third]


def test_the_event_stream_follows_everything_and_is_shown_to_nobody(store):
    store.follow_all(wanted=True)
    store.follow_all(wanted=True)
    ids = sorted(finished(store, 3)) + finished(store, model="others")
    assert store.deliveries().deliveries == []
    assert store.webhooks() == []
    assert claim(store) == []
    events = store.claim_events(lease=60.0, limit=10)
    assert [one.job_id for one in events] == ids
    assert store.claim_events(lease=60.0, limit=10) == []
    store.drop_events(events[:2])
    store.follow_all(wanted=False)
    finished(store)
    assert store.claim_events(lease=60.0, limit=10) == []


def test_old_deliveries_are_purged_and_pending_ones_stay(store):
    finished(store, webhook=HERE)
    finished(store, webhook=HERE)
    one, _ = claim(store)
    store.settle([Settled(one, status=200, delivered=True)])
    purged = Counter()
    for step in store.purge(before=store.now() + 60):
        purged.update(step)
    assert purged["webhook_deliveries"] == 1
    assert [left.state for left in store.deliveries().deliveries] == [DeliveryState.PENDING]


def test_no_secret_is_in_a_text(store):
    finished(store, webhook=HERE._replace(url="https://example.com/capability"))
    (one,) = claim(store)
    assert "capability" not in repr(one)
