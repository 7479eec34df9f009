"""What waiting clients are told when a batch was completed."""

from inferq_core.notify import MAX_CARRIED_OUTPUTS, decode_results, encode_results
from inferq_core.states import ErrorCode, Method, State
from inferq_core.store.records import Claim, ClaimedJob, Completed, Outcome
from inferq_workers.replies import replies

SMALL = "[1.5]"


def job(id_, reply_to, created_at=1.0):
    return ClaimedJob(id_, "m", 1, "[[1]]", None, Method.PREDICT, 0, 1, created_at, False, reply_to, None)


def answer(id_, outputs=SMALL, **fields):
    return Outcome(id_, State.SUCCEEDED, outputs, version=3, variant="primary", batch_rows=4, **fields)


def told(jobs, outcomes, written=None):
    """By client: the results by id, and the ids alone."""
    claim = Claim("batch", 10.0, 40.0, jobs, ())
    ids = frozenset(outcome.id for outcome in outcomes) if written is None else frozenset(written)
    found = replies(claim, outcomes, Completed(ids, 12.0), "worker")
    decoded = {client: decode_results(encode_results(members)) for client, members in found.items()}
    return {client: ({result.id: result for result in results}, ids) for client, (results, ids) in decoded.items()}


def test_each_client_hears_of_its_own_jobs_only():
    jobs = [job("a", "one"), job("b", "two"), job("c", None), job("d", "one")]
    found = told(jobs, [answer(name) for name in "abcd"])
    assert {client: set(results) for client, (results, _) in found.items()} == {"one": {"a", "d"}, "two": {"b"}}


def test_a_result_arrives_whole():
    fast = told([job("a", "one", created_at=2.5)], [answer("a", predict_seconds=0.5)])["one"][0]["a"]
    assert (fast.state, fast.model, fast.version, fast.variant, fast.outputs) == (
        State.SUCCEEDED, "m", 3, "primary", [1.5]
    )  # fmt: skip
    assert (fast.created_at, fast.claimed_at, fast.predicted_at, fast.completed_at) == (2.5, 10.0, 10.5, 12.0)
    assert (fast.attempt, fast.batch_id, fast.batch_rows, fast.worker) == (1, "batch", 4, "worker")


def test_different_ends_of_one_batch_are_told_apart():
    failed = Outcome("b", State.FAILED, error_code=ErrorCode.MODEL_ERROR, error_message="no", version=3)
    results, _ = told([job(name, "one") for name in "abc"], [answer("a", "[1]"), failed, answer("c", "[2]")])["one"]
    assert [results[name].state for name in "abc"] == [State.SUCCEEDED, State.FAILED, State.SUCCEEDED]
    assert (results["b"].error_code, results["b"].error_message, results["b"].outputs) == ("model_error", "no", None)
    assert (results["a"].outputs, results["c"].outputs) == ([1], [2])


def test_large_outputs_are_announced_by_their_id():
    large = "[" + "1," * MAX_CARRIED_OUTPUTS + "1]"
    results, ids = told([job("a", "one"), job("b", "one")], [answer("a"), answer("b", large)])["one"]
    assert set(results) == {"a"}
    assert ids == ["b"]


def test_nobody_hears_of_a_result_that_was_not_written():
    assert told([job("a", "one")], [answer("a")], written=[]) == {}
