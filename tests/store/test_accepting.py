"""Jobs exist when, and only when, `accept` returned; their state is true at any moment."""

import threading

import pytest
from given import LOG, accepted, claimed, finished, new_job, succeeded
from processes import in_processes, in_threads, submit_with_keys

from inferq_core.errors import IdempotencyConflict, InvalidInput, UnknownJob
from inferq_core.ids import new_batch_id, new_job_id, routing_hash
from inferq_core.states import Method, Priority, State


def test_an_accepted_job_is_queued(store):
    job = new_job()
    answer = store.accept([job])
    assert answer.ids == [job.id]
    assert answer.fresh == {job.id}
    assert store.state(job.id) is State.QUEUED
    assert store.result(job.id) is None


def test_accepting_nothing_is_no_error(store):
    assert store.accept([]).ids == []


@pytest.mark.parametrize("job_id", ["01890a5d-ac96-774b-bcce-b302099a8057", "", "nonsense", "123", "☃", None])
def test_an_id_never_issued_is_unknown(store, job_id):
    for read in (store.state, store.view, store.result):
        with pytest.raises(UnknownJob):
            read(job_id)
    assert store.states([job_id]) == {}
    assert store.results([job_id]) == {}


def test_an_id_is_found_however_it_is_written(store):
    (job_id,) = accepted(store)
    for text in (job_id.upper(), job_id.replace("-", ""), f"{{{job_id}}}"):
        assert store.state(text) is State.QUEUED
        assert store.view(text).id == job_id


def test_the_view_shows_what_was_asked(store):
    job = new_job(
        model="text",
        version="challenger",
        method=Method.PREDICT_PROBA,
        priority=Priority.BULK,
        queue="heavy",
        n_rows=3,
        metadata='{"customer":"Ünal","n":1}',
    )
    published_at = store.accept([job]).published_at
    view = store.view(job.id)
    assert (view.model, view.version, view.method, view.priority) == (
        "text",
        "challenger",
        Method.PREDICT_PROBA,
        Priority.BULK,
    )
    assert (view.queue, view.n_rows, view.attempts, view.state) == ("heavy", 3, 0, State.QUEUED)
    assert view.created_at == published_at
    assert view.metadata == {"customer": "Ünal", "n": 1}


def test_everything_a_worker_needs_arrives_unchanged(store):
    job = new_job(
        inputs='[["naïve \\u0000 text \\ud83d\\ude00",1e-300]]',
        routing_key="customer-7",
        routing_hash=routing_hash("customer-7"),
        reply_to="inferq.reply.1",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        version="3",
    )
    store.accept([job])
    (got,) = store.claim(new_batch_id(), [job.id], worker="w", lease=10).jobs
    assert (got.inputs, got.routing_hash, got.version) == (job.inputs, job.routing_hash, "3")
    assert (got.reply_to, got.traceparent) == (job.reply_to, job.traceparent)


@pytest.mark.parametrize("extreme", [-(2**63), 2**63 - 1])
def test_routing_hashes_use_all_64_bits(store, extreme):
    job = new_job(routing_hash=extreme)
    store.accept([job])
    assert store.claim(new_batch_id(), [job.id], worker="w", lease=10).jobs[0].routing_hash == extreme


def test_states_and_counts_cover_every_stage(store):
    queued = accepted(store, 3)
    _, running = claimed(store, 2)
    done = finished(store, 4, model="text")
    states = store.states([*queued, *running, *done, new_job_id()])
    assert states == (
        dict.fromkeys(queued, State.QUEUED)
        | dict.fromkeys(running, State.RUNNING)
        | dict.fromkeys(done, State.SUCCEEDED)
    )
    assert store.counts() == {("digits", State.QUEUED): 3, ("digits", State.RUNNING): 2, ("text", State.SUCCEEDED): 4}


def test_a_job_under_a_lease_that_ran_out_is_still_running(store):
    _, (job_id,) = claimed(store, lease=-5)
    assert store.state(job_id) is State.RUNNING


def test_five_thousand_jobs_in_one_call(store):
    jobs = [new_job() for _ in range(5000)]
    answer = store.accept(jobs)
    assert answer.fresh == {job.id for job in jobs}
    assert set(store.states(answer.ids).values()) == {State.QUEUED}


def test_accepting_again_after_a_commit_in_doubt_makes_no_second_job(store):
    done, held, waiting = new_job(), new_job(), new_job()
    store.accept([done, held, waiting])
    batch_id = new_batch_id()
    store.claim(batch_id, [done.id, held.id], worker="w", lease=60)
    store.complete(batch_id, [succeeded(done.id)], LOG)

    answer = store.accept([done, held, waiting])

    assert answer.ids == [done.id, held.id, waiting.id]
    assert store.states(answer.ids) == {
        done.id: State.SUCCEEDED,
        held.id: State.RUNNING,
        waiting.id: State.QUEUED,
    }
    assert sum(store.counts().values()) == 3


def test_the_same_job_twice_in_one_call_is_one_job(store):
    job = new_job()
    assert store.accept([job, job]).ids == [job.id, job.id]
    assert store.counts() == {("digits", State.QUEUED): 1}


def test_all_or_none(store):
    good, bad = new_job(), new_job(model=None)
    with pytest.raises(Exception, match=r"(?i)null"):
        store.accept([good, bad])
    with pytest.raises(UnknownJob):
        store.state(good.id)
    assert store.counts() == {}


def test_text_that_cannot_be_stored_is_refused_clearly(store):
    with pytest.raises(InvalidInput, match="cannot be stored"):
        store.accept([new_job(), new_job(metadata='"\ud800"')])
    assert store.counts() == {}


class TestIdempotencyKeys:
    def test_the_same_key_and_payload_is_the_same_job(self, store):
        first, again = (new_job(idempotency_key="order-1", payload_digest="a") for _ in range(2))
        store.accept([first])
        answer = store.accept([again])
        assert answer.ids == [first.id]
        assert answer.fresh == frozenset()
        with pytest.raises(UnknownJob):
            store.state(again.id)

    def test_the_job_of_a_key_is_found(self, store):
        job = new_job(idempotency_key="order-1", payload_digest="a")
        store.accept([job])
        assert store.keyed("order-1") == job.id
        assert store.keyed("order-2") is None

    def test_it_stays_so_after_the_job_ended(self, store):
        (first,) = finished(store, idempotency_key="order-1", payload_digest="a")
        assert store.accept([new_job(idempotency_key="order-1", payload_digest="a")]).ids == [first]

    def test_within_one_call_too(self, store):
        jobs = [new_job(idempotency_key=key, payload_digest="a") for key in ("x", "y", "x", "y", "x")]
        answer = store.accept(jobs)
        assert answer.ids == [jobs[0].id, jobs[1].id, jobs[0].id, jobs[1].id, jobs[0].id]
        assert answer.fresh == {jobs[0].id, jobs[1].id}
        assert store.counts() == {("digits", State.QUEUED): 2}

    @pytest.mark.parametrize("in_one_call", [True, False])
    def test_another_payload_is_a_conflict_and_nothing_is_inserted(self, store, in_one_call):
        first = new_job(idempotency_key="order-1", payload_digest="a")
        other = new_job(idempotency_key="order-1", payload_digest="b")
        bystander = new_job()
        calls = [[bystander, first, other]] if in_one_call else [[first], [bystander, other]]
        for call in calls[:-1]:
            store.accept(call)
        before = store.counts()
        with pytest.raises(IdempotencyConflict, match="order-1"):
            store.accept(calls[-1])
        assert store.counts() == before
        with pytest.raises(UnknownJob):
            store.state(bystander.id)

    def test_a_conflict_leaves_the_key_free(self, store):
        with pytest.raises(IdempotencyConflict):
            store.accept([new_job(idempotency_key="k", payload_digest=digest) for digest in ("a", "b")])
        assert store.accept([new_job(idempotency_key="k", payload_digest="b")]).fresh

    def test_jobs_without_a_key_are_never_the_same(self, store):
        assert len(store.accept([new_job(payload_digest="a"), new_job(payload_digest="a")]).fresh) == 2

    @pytest.mark.parametrize("together", [in_processes, in_threads])
    def test_many_submitters_with_the_same_keys_make_one_job_per_key(self, store, store_url, together):
        keys = [f"key-{number}" for number in range(200)]
        orders = [keys, keys[::-1], keys[100:] + keys[:100], keys]
        answers = together(submit_with_keys, [(store_url, order) for order in orders])
        by_key = [dict(zip(order, ids, strict=True)) for order, (ids, _) in zip(orders, answers, strict=True)]
        assert all(mapping == by_key[0] for mapping in by_key)
        assert sum(n_fresh for _, n_fresh in answers) == len(keys)
        assert store.counts() == {("digits", State.QUEUED): len(keys)}


def test_a_job_on_its_way_to_its_result_is_never_unknown(store):
    """Polled without pause while a batch takes it from pending to results."""
    batches = [claimed(store) for _ in range(30)]
    watched = [job_id for _, ids in batches for job_id in ids]
    stop = threading.Event()
    wrong = []

    def poll():
        while not stop.is_set():
            if len(store.states(watched)) != len(watched):
                wrong.append("states")
            for job_id in watched[::7]:
                try:
                    store.state(job_id)
                    store.result(job_id)
                    store.view(job_id)
                except UnknownJob as error:
                    wrong.append(str(error))

    poller = threading.Thread(target=poll)
    poller.start()
    for batch_id, ids in batches:
        store.complete(batch_id, [succeeded(id_) for id_ in ids], LOG)
    stop.set()
    poller.join(timeout=60)
    assert wrong == []
    assert set(store.states(watched).values()) == {State.SUCCEEDED}
