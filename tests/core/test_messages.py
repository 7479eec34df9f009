"""What travels on the broker, and what is refused."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferq_core.errors import MessageRejected
from inferq_core.ids import new_job_id
from inferq_core.messages import HEADER, TARGETED_MESSAGE_ROWS, JobMessage, Limits, decode, group, store_of
from inferq_core.states import Priority
from inferq_core.store.records import PendingRef

LIMITS = Limits(max_batch_rows=100, time_limit=30.0)


def message(**changes):
    fields = {
        "store_id": "store-a",
        "model": "digits",
        "job_ids": [new_job_id(), new_job_id()],
        "n_rows": 5,
        "queue": "predictions",
        "priority": Priority.BULK,
        "published_at": 1234.5,
        "limits": LIMITS,
        "group_limit": 7,
    }
    return JobMessage(**{**fields, **changes})


def ref(n_rows=1, group_limit=None, model="digits", priority=Priority.NORMAL):
    return PendingRef(
        id=new_job_id(),
        model=model,
        queue="predictions",
        priority=priority,
        n_rows=n_rows,
        group_limit=group_limit,
        published_at=1.0,
    )


def test_a_message_survives_the_way():
    sent = message()
    assert decode(sent.body(), sent.headers(), "store-a") == sent


def test_a_latency_target_travels_only_when_there_is_one():
    """Workers of an older version take messages without it."""
    plain, aimed = message(), message(limits=Limits(100, 30.0, 0.25))
    assert (len(plain.headers()[HEADER]), len(aimed.headers()[HEADER])) == (8, 9)
    assert decode(aimed.body(), aimed.headers(), "store-a") == aimed


@pytest.mark.parametrize("target", [[0], [-1.0], ["soon"], [None], [float("nan")], [1e9], [1.0, 2.0]])
def test_a_latency_target_that_is_none_is_refused(target):
    headers = message().headers()
    headers[HEADER] += target
    with pytest.raises(MessageRejected):
        decode(message().body(), headers, "store-a")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *[(5, at) for at in (float("inf"), float("nan"), "inf", 1e308, -1.0, 1e11)],
        *[(place, value) for place in (2, 6, 7) for value in (10**300, 2**31, float("inf"))],
    ],
)
def test_a_number_that_no_table_holds_is_refused(place, value):
    headers = message().headers()
    headers[HEADER][place] = value
    with pytest.raises(MessageRejected):
        decode(message().body(), headers, "store-a")


@pytest.mark.parametrize("model", ["", "a\nb", "a\0", "a" * 101, None, 5])
def test_a_model_that_nobody_can_have_registered_is_refused(model):
    body = json.dumps([[model, [new_job_id()]], {}, {}])
    with pytest.raises(MessageRejected, match="names no model"):
        decode(body, message().headers(), "store-a")


def test_ids_are_a_list():
    body = json.dumps([["digits", {new_job_id(): 1}], {}, {}])
    with pytest.raises(MessageRejected, match="no list"):
        decode(body, message().headers(), "store-a")


def test_a_message_carries_a_trace_that_all_its_jobs_share():
    one, other = (f"00-{digit * 32}-00f067aa0ba902b7-01" for digit in "12")
    for traces, carried in (([one], one), ([one, one], one), ([one, other], None), ([one, None], None), ([None], None)):
        [sent] = group([ref()._replace(traceparent=trace) for trace in traces], lambda _: LIMITS, "store-a")
        assert sent.headers().get("traceparent") == carried
        assert decode(sent.body(), sent.headers(), "store-a").traceparent == carried


def test_a_malformed_traceparent_is_ignored_and_a_good_one_kept():
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for found, kept in ((good, good), ("x" * 10_000, None), ([1], None), (good + "\n", None)):
        headers = message().headers() | {"traceparent": found}
        assert decode(message().body(), headers, "store-a").traceparent == kept


@pytest.mark.parametrize("headers", [None, [], {}, {HEADER: None}, {HEADER: [2, 10**5001]}, {HEADER: [2]}])
def test_a_message_of_no_store_says_so(headers):
    assert store_of(headers) is None
    assert store_of(message().headers()) == "store-a"


def test_inputs_and_long_lists_of_ids_do_not_show_in_what_people_see():
    assert message().headers()["argsrepr"] == "digits, 2 jobs"


def test_a_message_of_another_store_is_refused():
    sent = message()
    with pytest.raises(MessageRejected, match="store-a"):
        decode(sent.body(), sent.headers(), "store-b")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"[[]]", b'[["digits"]]', b'[["digits", []]]', b'[["digits", ["no-id"]]]', b"\x80\x04K\x01."],
)
def test_a_damaged_body_is_refused(body):
    with pytest.raises(MessageRejected):
        decode(body, message().headers(), "store-a")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(
    body=st.just(message().body()) | st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()),
    changes=st.dictionaries(st.integers(0, 8), ANYTHING),
    fields=st.just(None) | ANYTHING,
    time_limit=st.just([30.0, None]) | ANYTHING,
)
def test_whatever_arrives_is_a_message_or_is_refused(body, changes, fields, time_limit):
    headers = message(limits=Limits(100, 30.0, 0.1)).headers()
    headers["timelimit"] = time_limit
    headers[HEADER] = [changes.get(at, value) for at, value in enumerate(headers[HEADER])] if fields is None else fields
    try:
        decoded = decode(body, headers, "store-a")
    except MessageRejected:
        return
    assert decoded.job_ids
    assert decoded.n_rows >= len(decoded.job_ids)
    assert decoded.limits.time_limit > 0
    assert decoded.limits.latency_target is None or decoded.limits.latency_target > 0


def test_jobs_are_grouped_by_rows_and_kind():
    refs = [ref(50), ref(50), ref(10), ref(model="other"), ref(priority=Priority.BULK)]
    messages = group(refs, lambda _: LIMITS, "store-a")
    assert [(m.model, m.priority, m.n_rows, len(m.job_ids)) for m in messages] == [
        ("digits", Priority.NORMAL, 50, 1),
        ("digits", Priority.NORMAL, 60, 2),
        ("other", Priority.NORMAL, 1, 1),
        ("digits", Priority.BULK, 1, 1),
    ]


def test_jobs_of_a_model_with_a_latency_target_are_grouped_in_small_messages():
    messages = group([ref() for _ in range(100)], lambda _: Limits(256, 30.0, 0.1), "store-a")
    assert {m.n_rows for m in messages} == {TARGETED_MESSAGE_ROWS, 100 % TARGETED_MESSAGE_ROWS}


def test_a_job_larger_than_a_message_travels_alone():
    messages = group([ref(1), ref(5000), ref(1)], lambda _: LIMITS, "store-a")
    assert [m.n_rows for m in messages] == [1, 5000, 1]


def test_no_message_holds_more_than_64_rows_however_large_batches_may_be():
    messages = group([ref() for _ in range(1000)], lambda _: Limits(100_000, 30.0), "store-a")
    assert [len(m.job_ids) for m in messages] == [64] * 15 + [40]


def test_a_group_limit_bounds_the_jobs_of_a_message():
    messages = group([ref(group_limit=2) for _ in range(5)], lambda _: LIMITS, "store-a")
    assert [(len(m.job_ids), m.group_limit) for m in messages] == [(2, 2), (2, 2), (1, 2)]


def test_headers_are_json():
    assert orjson.loads(orjson.dumps(message().headers()))["task"] == "inferq.predict"
