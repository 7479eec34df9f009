"""Uploads: rows that are accepted while their body is read."""

import time
from dataclasses import replace

import pytest
from given import LOG, new_job, succeeded

from inferq_core.errors import UnknownUpload, UploadEnded
from inferq_core.ids import NumberedIds, new_batch_id, new_upload_id
from inferq_core.states import Method, Priority, State
from inferq_core.store import uploads as module
from inferq_core.store.upload_records import Upload, UploadEnd, UploadState, UploadStep

READER = "reader-1"


def new_upload(store, **options):
    started_ms = time.time_ns() // 1_000_000 - 5_000
    while not store.is_quiet(started_ms):
        started_ms -= 1
    defaults = {
        "id": new_upload_id(),
        "owner": "me",
        "idempotency_key": None,
        "model": "digits",
        "version": None,
        "method": Method.PREDICT,
        "priority": Priority.BULK,
        "deadline": None,
        "metadata": None,
        "format": "ndjson",
        "secret": b"s" * 32,
        "started_ms": started_ms,
        "bytes_total": 100,
    }
    return Upload(**(defaults | options))


def step(upload, first, n, reader=READER):
    jobs = [new_job(id=upload.ids.at(number)) for number in range(first, first + n)]
    return UploadStep(upload, reader, first, jobs, f"digest-{first + n}", 10 * (first + n))


def added(store, *sizes, **options):
    upload = new_upload(store, **options)
    first = 0
    for size in sizes:
        assert len(store.add_rows(step(upload, first, size)).fresh) == size
        first += size
    return upload


def ids_of(upload, n):
    return [upload.ids.at(number) for number in range(n)]


def ended(store, upload, state, reason=None, reader=READER):
    store.end_upload(upload.id, reader, UploadEnd(state, reason, 90))


def test_rows_are_jobs_and_counted_together(store):
    upload = added(store, 3, 2)
    now = store.upload(upload.id)
    assert now.upload == upload
    assert (now.state, now.accepted, now.rows_digest, now.bytes_read) == (UploadState.READING, 5, "digest-5", 50)
    assert set(store.states(ids_of(upload, 6))) == set(ids_of(upload, 5))
    assert not store.is_quiet(upload.started_ms)
    ended(store, upload, UploadState.COMPLETE)
    now = store.upload(upload.id)
    assert (now.state, now.reason, now.bytes_read) == (UploadState.COMPLETE, None, 90)
    assert now.created_at <= now.ended_at
    with pytest.raises(UnknownUpload):
        store.upload(new_upload_id())
    with pytest.raises(UnknownUpload):
        store.upload("what")


def test_a_step_may_be_repeated_and_none_left_out(store):
    upload = added(store, 3)
    again = store.add_rows(step(upload, 0, 3))
    assert list(again.ids) == ids_of(upload, 3)
    assert store.upload(upload.id).accepted == 3
    with pytest.raises(UploadEnded):
        store.add_rows(step(upload, 4, 1))
    assert upload.ids.at(4) not in store.states(ids_of(upload, 5))


def test_whoever_takes_over_shuts_the_other_out(store):
    upload = added(store, 3, idempotency_key="monday")
    assert store.resume_upload(replace(upload, idempotency_key="tuesday"), "reader-2") is None
    store.resume_upload(replace(upload, version="2"), "reader-2")  # asks for something else
    store.add_rows(step(upload, 3, 1))
    taken = store.resume_upload(upload, "reader-2")
    assert (taken.upload, taken.accepted, taken.rows_digest) == (upload, 4, "digest-4")
    with pytest.raises(UploadEnded):
        store.add_rows(step(upload, 4, 1))
    ended(store, upload, UploadState.INCOMPLETE, "broken")
    assert store.upload(upload.id).state is UploadState.READING
    store.add_rows(step(upload, 4, 1, "reader-2"))
    ended(store, upload, UploadState.COMPLETE, reader="reader-2")
    assert store.resume_upload(upload, "reader-3").state is UploadState.COMPLETE
    with pytest.raises(UploadEnded):
        store.add_rows(step(upload, 5, 1, "reader-3"))


def test_a_key_and_a_millisecond_have_one_upload(store):
    upload = added(store, 1, idempotency_key="monday")
    for other in (
        new_upload(store, idempotency_key="monday"),
        new_upload(store, started_ms=upload.started_ms, idempotency_key="tuesday"),
    ):
        with pytest.raises(UploadEnded):
            store.add_rows(step(other, 0, 1))
        with pytest.raises(UnknownUpload):
            store.upload(other.id)


def test_an_upload_of_which_nothing_is_heard_is_incomplete(store, monkeypatch):
    upload = added(store, 2)
    monkeypatch.setattr(module, "SILENCE_S", -1.0)
    now = store.upload(upload.id)
    assert (now.state, now.reason) == (UploadState.INCOMPLETE, module.SILENT)
    assert now.ended_at is not None
    monkeypatch.setattr(module, "SILENCE_S", 60.0)
    store.hear_upload(upload.id, READER, 77)
    store.hear_upload(upload.id, "somebody", 99)
    assert store.upload(upload.id).bytes_read == 77


def test_counts_tell_where_its_jobs_are(store):
    upload = added(store, 6)
    ids = ids_of(upload, 6)
    batch_id = new_batch_id()
    store.claim(batch_id, ids[:3], worker="w", lease=60)
    failed = succeeded(ids[1])._replace(state=State.FAILED, outputs=None)
    store.complete(batch_id, [succeeded(ids[0]), failed], LOG)
    store.cancel(ids[5:])
    store.accept([new_job() for _ in range(3)])
    counts = store.upload_counts(upload.id)
    assert counts.accepted == 6
    assert counts.states == {
        State.SUCCEEDED: 1,
        State.FAILED: 1,
        State.RUNNING: 1,
        State.QUEUED: 2,
        State.CANCELLED: 1,
    }
    assert store.open_rows(upload.id, limit=2) == [ids[4], ids[3]]
    assert store.open_rows(upload.id, before=ids[3]) == [ids[2]]


def test_a_stranger_in_its_millisecond_is_none_of_its_rows(store):
    upload = added(store, 2)
    store.accept([new_job(id=NumberedIds(b"another", upload.started_ms).at(0))])
    assert store.open_rows(upload.id) == ids_of(upload, 2)[::-1]


def test_cancelling_takes_no_more_rows(store):
    upload = added(store, 2)
    assert store.cancel_upload(upload.id).state is UploadState.CANCELLED
    with pytest.raises(UploadEnded):
        store.add_rows(step(upload, 2, 1))
    ended(store, upload, UploadState.COMPLETE)
    assert store.upload(upload.id).state is UploadState.CANCELLED
    assert upload.ids.at(2) not in store.states(ids_of(upload, 3))


def test_the_newest_come_first_and_by_whose_they_are(store):
    mine = [added(store, 1).id for _ in range(3)]
    theirs = added(store, 1, owner="them", model="iris").id
    assert [now.upload.id for now in store.newest_uploads(owner="me", limit=2)] == mine[:0:-1]
    assert [now.upload.id for now in store.newest_uploads(owner="me", before=mine[1])] == mine[:1]
    assert [now.upload.id for now in store.newest_uploads(model="iris")] == [theirs]


def test_an_upload_goes_with_the_first_of_its_jobs(store):
    kept, gone = added(store, 2), added(store, 3)
    for upload in (kept, gone):
        ended(store, upload, UploadState.COMPLETE)
    batch_id = new_batch_id()
    store.claim(batch_id, ids_of(gone, 2), worker="w", lease=60)
    store.complete(batch_id, [succeeded(job_id) for job_id in ids_of(gone, 1)], LOG)
    before = store.now() + 1
    assert store.purgeable(before=before)["uploads"] == 1
    for _ in store.purge(before=before):
        pass
    assert store.upload(kept.id).accepted == 2
    with pytest.raises(UnknownUpload):
        store.upload(gone.id)
    assert set(store.states(ids_of(gone, 3)).values()) == {State.QUEUED, State.RUNNING}
