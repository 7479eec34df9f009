"""Keys of the gateway: what the store keeps of them, and whose a job is."""

import pytest
from given import accepted, finished, new_job

from inferq_core.errors import UnknownKey
from inferq_core.keys import covers, digest_of, id_in, is_valid, new_key
from inferq_core.policy.rate import RateLimit
from inferq_core.store.records import KeyScope, NewKey


def made(store, name="shop", scopes=(KeyScope.SUBMIT,), models=None, limit=None):
    key_id, text = new_key()
    return text, store.add_key(NewKey(key_id, name, digest_of(text), scopes, models, limit))


def test_a_key_is_known_by_its_digest_alone(store):
    assert not store.has_keys()
    limit = RateLimit.parse("10/m", 30)
    text, record = made(store, scopes=[KeyScope.READ, KeyScope.FEEDBACK], models=["digits*"], limit=limit)
    assert store.has_keys()
    assert store.key(id_in(text)) == record
    assert (record.name, record.scopes, record.models) == ("shop", {KeyScope.READ, KeyScope.FEEDBACK}, ("digits*",))
    assert record.created_at <= store.now()
    assert text.rpartition("_")[2] not in repr(record)
    assert (record.limit, made(store)[1].limit) == (limit, None)
    assert store.key("0" * 12) is None


def test_only_the_whole_key_is_good_until_it_is_revoked(store):
    text, record = made(store)
    other, _ = made(store, "other")
    assert is_valid(record, text)
    assert not is_valid(record, other)
    assert not is_valid(record, text[:-1] + ("a" if text[-1] != "a" else "b"))
    assert not is_valid(None, text)
    revoked = store.revoke_key(record.id)
    assert not is_valid(revoked, text)
    assert store.revoke_key(record.id).revoked_at == revoked.revoked_at
    assert [key.revoked_at is None for key in store.all_keys()] == [False, True]
    assert store.has_keys()
    with pytest.raises(UnknownKey, match="'nobody'"):
        store.revoke_key("nobody")


@pytest.mark.parametrize(
    "text", ["", "inferq_", "inferq_0123456789ab_short", "inferq_0123456789AB_" + "a" * 43, "é" * 70]
)
def test_what_is_no_key_has_no_id(text):
    assert id_in(text) is None


def test_patterns_cover_models():
    assert covers(None, "digits")
    assert covers(("digits*", "iris"), "digits-2")
    assert not covers(("digits*", "iris"), "iris-2")
    assert not covers((), "iris")


def test_jobs_are_found_by_whose_they_are(store):
    mine = accepted(store, 2, owner="me")
    theirs = accepted(store, 1, owner="them")
    done = finished(store, 2, owner="me")
    nobodys = accepted(store)
    newest_first = sorted([*mine, *done], reverse=True)
    assert [job.id for job in store.newest(owner="me").jobs] == newest_first
    first = store.newest(owner="me", limit=3)
    assert [job.id for job in first.jobs] == newest_first[:3]
    assert [job.id for job in store.newest(owner="me", before=first.reached).jobs] == newest_first[3:]
    assert store.newest(owner="nobody").jobs == ()
    assert [store.view(job_id).owner for job_id in (*mine, *theirs, *nobodys)] == ["me", "me", "them", None]


def test_a_retried_job_keeps_its_owner(store):
    [job_id] = finished(store, owner="me")
    [copy] = store.copies([job_id])
    assert copy.owner == "me"
    assert new_job().owner is None
