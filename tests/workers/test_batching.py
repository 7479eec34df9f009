"""Which messages become the next batch."""

from hypothesis import given
from hypothesis import strategies as st

from inferq_core.ids import new_job_id
from inferq_core.messages import JobMessage, Limits
from inferq_core.states import Priority
from inferq_workers.batching import Buffer


def message(n_rows=1, *, jobs=None, model="digits", priority=Priority.NORMAL, group_limit=None, max_rows=256):
    return JobMessage(
        store_id="s",
        model=model,
        job_ids=[new_job_id() for _ in range(jobs or 1)],
        n_rows=n_rows,
        queue="predictions",
        priority=priority,
        published_at=1.0,
        limits=Limits(max_rows, 30.0),
        group_limit=group_limit,
    )


def buffered(*messages):
    buffer = Buffer()
    for index, item in enumerate(messages):
        buffer.put(item, index)
    return buffer


def taken(buffer):
    return [entry.handle for entry in buffer.next_batch()]


def test_everything_that_waits_for_one_model_leaves_together():
    assert taken(buffered(message(), message(), message())) == [0, 1, 2]


def test_a_batch_is_no_larger_than_the_model_allows():
    buffer = buffered(message(6, max_rows=10), message(4, max_rows=10), message(1, max_rows=10))
    assert taken(buffer) == [0, 1]
    assert taken(buffer) == [2]


def test_a_lowered_limit_of_a_later_message_holds_for_its_batch():
    assert taken(buffered(message(6), message(6, max_rows=10))) == [0]


def test_a_job_larger_than_a_batch_goes_alone():
    buffer = buffered(message(1000), message(1))
    assert taken(buffer) == [0]
    assert taken(buffer) == [1]


def test_urgent_messages_overtake():
    buffer = buffered(message(priority=Priority.BULK), message(priority=Priority.INTERACTIVE))
    assert taken(buffer) == [1]


def test_models_take_turns_by_the_age_of_their_oldest_message():
    buffer = buffered(message(model="a"), message(model="b"), message(model="a"))
    assert taken(buffer) == [0, 2]
    assert taken(buffer) == [1]


def test_suspects_are_kept_in_small_groups():
    buffer = buffered(message(2, jobs=2, group_limit=2), message(2, jobs=2, group_limit=2), message(1))
    assert taken(buffer) == [0]
    assert taken(buffer) == [1]
    assert taken(buffer) == [2]


def test_drain_gives_everything_oldest_first():
    buffer = buffered(message(model="b"), message(model="a"), message(model="b"))
    assert [entry.handle for entry in buffer.drain()] == [0, 1, 2]
    assert not buffer
    assert buffer.rows == 0


messages = st.lists(
    st.builds(
        message,
        st.integers(1, 300),
        model=st.sampled_from("ab"),
        priority=st.sampled_from(Priority),
        group_limit=st.none() | st.integers(1, 4),
        max_rows=st.sampled_from([10, 256]),
    )
)


@given(messages)
def test_every_message_leaves_exactly_once_within_the_limits(items):
    buffer = buffered(*items)
    left = []
    while buffer:
        batch = [entry.message for entry in buffer.next_batch()]
        assert len({(m.model, m.priority) for m in batch}) == 1
        if len(batch) > 1:
            assert sum(m.n_rows for m in batch) <= min(m.limits.max_batch_rows for m in batch)
            assert all(m.group_limit is None or len(batch) <= m.group_limit for m in batch)
        left += batch
    assert sorted(map(id, left)) == sorted(map(id, items))
    assert buffer.rows == 0
    assert buffer.rows_by_queue() == {}
