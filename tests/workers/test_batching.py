"""Which messages become the next batch."""

from hypothesis import given
from hypothesis import strategies as st

from inferq_core.ids import new_job_id
from inferq_core.messages import JobMessage, Limits
from inferq_core.policy.cost import Cost
from inferq_core.states import Priority
from inferq_workers.batching import BESIDE_INTERACTIVE, UNKNOWN_SECONDS, Buffer


def message(
    n_rows=1, *, jobs=None, model="digits", priority=Priority.NORMAL, group_limit=None, max_rows=256, target=None
):
    return JobMessage(
        store_id="s",
        model=model,
        job_ids=[new_job_id() for _ in range(jobs or 1)],
        n_rows=n_rows,
        queue="predictions",
        priority=priority,
        published_at=1.0,
        limits=Limits(max_rows, 30.0, target),
        group_limit=group_limit,
    )


def per_row(seconds):
    """What a model costs of which each row takes so long, as batches of 1 and of 100 rows told."""
    return Cost().after(1, seconds).after(1, seconds, cold=False).after(100, 100 * seconds)


def buffered(*messages, costs=None):
    buffer = Buffer(lambda model: (costs or {}).get(model, Cost()))
    for index, item in enumerate(messages):
        buffer.put(item, index)
    return buffer


def taken(buffer):
    return [entry.handle for entry in buffer.next_batch().entries]


def test_everything_that_waits_for_one_model_leaves_together():
    assert taken(buffered(message(), message(), message())) == [0, 1, 2]


def test_a_batch_is_no_larger_than_the_model_allows():
    buffer = buffered(message(6, max_rows=10), message(4, max_rows=10), message(1, max_rows=10))
    assert taken(buffer) == [0, 1]
    assert taken(buffer) == [2]


def test_beside_interactive_work_other_batches_are_small_for_a_while():
    bulk = [message(16, priority=Priority.BULK, max_rows=64) for _ in range(BESIDE_INTERACTIVE + 4)]
    buffer = buffered(*bulk, message(priority=Priority.INTERACTIVE))

    sizes = [buffer.next_batch().n_rows for _ in range(BESIDE_INTERACTIVE + 2)]

    assert sizes == [1, *[16] * BESIDE_INTERACTIVE, 64]


def test_interactive_batches_are_as_large_as_ever():
    buffer = buffered(*(message(16, priority=Priority.INTERACTIVE, max_rows=64) for _ in range(8)))
    assert [buffer.next_batch().n_rows for _ in range(2)] == [64, 64]


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


def test_nobody_waits_while_only_one_model_has_work():
    buffer = buffered(*[message(max_rows=1) for _ in range(3)], costs={"digits": per_row(9.0)})
    assert [taken(buffer) for _ in range(3)] == [[0], [1], [2]]


def served(buffer, batches, seconds):
    """Seconds of process time that each model got in so many batches, which end before the next one leaves."""
    got = dict.fromkeys(seconds, 0.0)
    for _ in range(batches):
        batch = buffer.next_batch()
        took = seconds[batch.kind.model] * batch.n_rows
        got[batch.kind.model] += took
        buffer.ended(batch, took)
    return got


def test_a_flood_of_one_model_leaves_the_others_their_share():
    flood = [message(10, max_rows=10, model="flood") for _ in range(500)]
    others = [message(10, max_rows=10, model=model) for model in "ab" for _ in range(50)]
    seconds = {"flood": 0.01, "a": 0.01, "b": 0.01}
    buffer = buffered(*flood, *others, costs={model: per_row(took) for model, took in seconds.items()})
    got = served(buffer, 90, seconds)
    assert max(got.values()) - min(got.values()) <= 0.1 + 1e-9  # a batch


def test_a_slow_model_gets_as_much_time_as_a_fast_one_and_no_more():
    seconds = {"slow": 1.0, "fast": 0.01}
    mixed = [message(1, max_rows=1, model=model) for _ in range(400) for model in seconds]
    buffer = buffered(*mixed, costs={model: per_row(took) for model, took in seconds.items()})
    got = served(buffer, 303, seconds)
    assert abs(got["slow"] - got["fast"]) <= 1.0 + 1e-9


def test_what_a_batch_took_counts_when_nothing_is_known_of_its_model():
    buffer = buffered(*[message(max_rows=1, model=model) for _ in range(9) for model in ("stuck", "new")])
    first = buffer.next_batch()
    assert (first.kind.model, first.charged) == ("stuck", UNKNOWN_SECONDS)
    assert buffer.next_batch().kind.model == "new"
    buffer.ended(first, 300.0)
    assert [buffer.next_batch().kind.model for _ in range(8)] == ["new"] * 8


def test_who_comes_late_gets_a_share_from_then_on_and_not_what_it_missed():
    buffer = buffered(*[message(max_rows=1, model="early") for _ in range(100)], costs={"early": per_row(1.0)})
    for _ in range(50):
        buffer.next_batch()
    for number in range(50):
        buffer.put(message(max_rows=1, model="late"), number)
    models = [buffer.next_batch().kind.model for _ in range(20)]
    assert 9 <= models.count("early") <= 11


def test_a_more_urgent_priority_goes_first_whoever_was_served():
    buffer = buffered(
        message(priority=Priority.BULK, model="idle"),
        *[message(max_rows=1, model="busy") for _ in range(5)],
        costs={"busy": per_row(9.0)},
    )
    assert [taken(buffer)[0] for _ in range(6)] == [1, 2, 3, 4, 5, 0]


def targeted(count, target, cost):
    return buffered(*[message(target=target) for _ in range(count)], costs={"digits": cost})


def test_a_batch_has_no_more_rows_than_fit_into_the_latency_target():
    assert len(taken(targeted(100, 1.0, per_row(0.02)))) == 40  # 0.8 of it is planned for


def test_nothing_is_known_of_a_model_so_its_target_bounds_nothing():
    assert len(taken(targeted(100, 1.0, Cost()))) == 100


def test_a_target_that_cannot_be_met_leaves_one_message_for_a_batch():
    buffer = targeted(3, 0.001, per_row(0.02))
    assert [taken(buffer) for _ in range(3)] == [[0], [1], [2]]


def test_the_smaller_of_two_targets_holds():
    messages = [*[message(target=1.0) for _ in range(10)], *[message(target=0.25) for _ in range(10)]]
    assert len(taken(buffered(*messages, costs={"digits": per_row(0.02)}))) == 10
    assert len(taken(buffered(*messages[::-1], costs={"digits": per_row(0.02)}))) == 10


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
        target=st.none() | st.sampled_from([0.01, 1.0]),
    )
)


@given(messages)
def test_every_message_leaves_exactly_once_within_the_limits(items):
    buffer = buffered(*items, costs={"a": per_row(0.01)})
    left = []
    while buffer:
        taken = buffer.next_batch()
        batch = [entry.message for entry in taken.entries]
        assert taken.n_rows == sum(m.n_rows for m in batch)
        assert len({(m.model, m.priority) for m in batch}) == 1
        if len(batch) > 1:
            assert sum(m.n_rows for m in batch) <= min(m.limits.max_batch_rows for m in batch)
            assert all(m.group_limit is None or len(batch) <= m.group_limit for m in batch)
        left += batch
    assert buffer.next_batch() is None
    assert sorted(map(id, left)) == sorted(map(id, items))
    assert buffer.rows == 0
    assert buffer.rows_by_queue() == {}
