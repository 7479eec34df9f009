"""Log entries are numbered, filtered, and never refused for what they say."""

import math

from given import accepted

from inferq_core.store.records import LogEntry


def events(store, **options):
    return [entry.event for _, entry in store.read(**options)]


def test_an_entry_comes_back_as_it_was(store):
    (job_id,) = accepted(store)
    entry = LogEntry(
        level="error",
        event="job_failed",
        fields={"code": "model_error", "nested": {"rows": [1, 2]}, "ratio": 0.5},
        model="digits",
        version=3,
        job_id=job_id,
        batch_id="b",
        worker="worker-1",
    )
    store.append([entry])
    ((number, read),) = store.read()
    assert number >= 1
    assert read.at == accepted_at(read)
    assert (read.level, read.event, read.fields, read.model) == ("error", "job_failed", entry.fields, "digits")
    assert (read.version, read.job_id, read.batch_id, read.worker) == (3, job_id, "b", "worker-1")


def accepted_at(entry):
    assert entry.at > 1.7e9
    return entry.at


def test_the_newest_oldest_first(store):
    store.append([LogEntry("info", f"e{number}") for number in range(10)])
    assert events(store, limit=3) == ["e7", "e8", "e9"]
    numbers = [number for number, _ in store.read()]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 10


def test_after_skips_what_was_read(store):
    store.append([LogEntry("info", "first")])
    last = [number for number, _ in store.read()][-1]
    assert events(store, after=last) == []
    store.append([LogEntry("info", "second")])
    assert events(store, after=last) == ["second"]


def test_filters(store):
    store.append(
        [
            LogEntry("info", "a", model="digits", job_id="1"),
            LogEntry("error", "b", model="digits"),
            LogEntry("error", "c", model="text", job_id="1"),
        ]
    )
    assert events(store, model="digits") == ["a", "b"]
    assert events(store, level="error") == ["b", "c"]
    assert events(store, job_id="1") == ["a", "c"]
    assert events(store, job_id="1", level="error", model="text") == ["c"]
    assert events(store, job_id="2") == []


def test_anything_can_be_logged(store):
    store.append([LogEntry("info", "odd \0", fields={"nan": math.nan, "object": store.__class__, 3: "key"})])
    ((_, entry),) = store.read()
    assert entry.fields["nan"] is None
    assert "SqlStore" in entry.fields["object"]
    assert entry.fields["3"] == "key"


def test_appending_nothing(store):
    store.append([])
    assert events(store) == []


def test_reading_on_from_a_number(store):
    store.append([LogEntry("info", f"e{number}") for number in range(5)])
    numbers = [number for number, _ in store.read_on(after=0)]
    assert numbers == sorted(numbers)
    assert [entry.event for _, entry in store.read_on(after=numbers[1], limit=2)] == ["e2", "e3"]
    assert store.read_on(after=numbers[-1]) == []
