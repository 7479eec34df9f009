"""From claimed jobs to outcomes, without a store or a broker."""

import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from splits import rollout_of

from inferq_core.errors import ArtifactRejected, UnknownVersion
from inferq_core.ids import new_job_id, routing_hash
from inferq_core.messages import Limits
from inferq_core.states import ErrorCode, Method, State
from inferq_core.store.records import ClaimedJob
from inferq_models.prediction import predict_batch
from inferq_models.routing import place

POISON = -1.0


class Doubler:
    """Stands for a loaded model: doubles what it gets, and counts its calls."""

    def __init__(self):
        self.calls = []

    def inputs(self, texts):
        return np.array([row for text in texts for row in orjson.loads(text)])

    def call(self, method, rows):
        self.calls.append(len(rows))
        if (rows == POISON).any():
            raise RuntimeError("poison")
        return (rows[:, 0] * 2).tolist()


class Models:
    """Stands for the catalog."""

    computing = staticmethod(nullcontext)

    def __init__(self, max_batch_rows=100):
        self.model = Doubler()
        self._limits = Limits(max_batch_rows, 10.0)
        self.split = None

    def limits(self, _):
        return self._limits

    def rollout(self, _):
        return self.split

    def version(self, model, reference):
        if reference == "gone":
            raise UnknownVersion("no version 'gone'")
        return SimpleNamespace(model=model, number=1 if reference == "champion" else int(reference))

    def loaded(self, version, method):
        if version.number == 13:
            raise ArtifactRejected("it was changed")
        return self.model


@pytest.fixture
def models():
    return Models()


def job(*values, n_rows=None, version=None, expired=False, routing_hash=0):
    return ClaimedJob(
        id=new_job_id(),
        model="double",
        n_rows=len(values) if n_rows is None else n_rows,
        inputs=orjson.dumps([[value] for value in values]).decode(),
        version=version,
        method=Method.PREDICT,
        routing_hash=routing_hash,
        attempt=1,
        created_at=0.0,
        expired=expired,
        reply_to=None,
        traceparent=None,
    )


def outcomes_of(jobs, models):
    outcomes = {outcome.id: outcome for outcome in predict_batch(jobs, models)}
    assert outcomes.keys() == {job.id for job in jobs}
    return [outcomes[job.id] for job in jobs]


def answers(outcomes):
    return [orjson.loads(outcome.outputs) if outcome.outputs else outcome.error_code for outcome in outcomes]


def test_jobs_of_several_rows_share_one_call_and_get_their_own_outputs(models):
    outcomes = outcomes_of([job(1.0), job(2.0, 3.0), job(4.0)], models)
    assert answers(outcomes) == [[2.0], [4.0, 6.0], [8.0]]
    assert models.model.calls == [4]
    assert {outcome.batch_rows for outcome in outcomes} == {4}


def test_the_bad_one_stands_alone(models):
    outcomes = outcomes_of([job(float(value)) for value in range(8)] + [job(POISON)], models)
    assert answers(outcomes) == [[2.0 * value] for value in range(8)] + [ErrorCode.MODEL_ERROR]
    assert outcomes[-1].error_message == "RuntimeError: poison"


def test_a_job_whose_rows_do_not_add_up_takes_no_outputs_of_its_neighbours(models):
    outcomes = outcomes_of([job(1.0), job(2.0, 3.0, n_rows=1), job(4.0)], models)
    assert answers(outcomes) == [[2.0], ErrorCode.INVALID_INPUT, [8.0]]


def test_jobs_of_a_batch_meet_their_variants(models):
    models.split = rollout_of(500, model="double")
    hashes = [routing_hash(str(number)) for number in range(40)]
    jobs = [job(1.0, routing_hash=each) for each in hashes] + [job(2.0, version="2"), job(3.0, version="champion")]
    outcomes = outcomes_of(jobs, models)
    canaries = [place(each, "double") < 500 for each in hashes]
    assert [outcome.variant for outcome in outcomes[:40]] == ["canary" if each else "primary" for each in canaries]
    assert [outcome.version for outcome in outcomes[:40]] == [2 if each else 1 for each in canaries]
    # Who names a version is no part of the split.
    assert [(outcome.version, outcome.variant) for outcome in outcomes[40:]] == [(2, None), (1, None)]
    assert sorted(models.model.calls) == sorted([sum(canaries), 40 - sum(canaries), 1, 1])
    models.split = None
    assert {(outcome.version, outcome.variant) for outcome in outcomes_of(jobs[:40], models)} == {(1, "primary")}


def test_no_call_is_larger_than_the_model_allows():
    models = Models(max_batch_rows=3)
    outcomes = outcomes_of([job(1.0), job(1.0), job(1.0), job(1.0), job(*[1.0] * 8)], models)
    assert all(outcome.state is State.SUCCEEDED for outcome in outcomes)
    assert models.model.calls == [3, 1, 3, 3, 2]


def test_expired_jobs_are_not_predicted(models):
    outcomes = outcomes_of([job(1.0, expired=True)], models)
    assert (outcomes[0].state, outcomes[0].error_code) == (State.EXPIRED, ErrorCode.DEADLINE_EXCEEDED)
    assert models.model.calls == []


def test_versions_are_called_apart_and_fail_apart(models):
    jobs = [job(1.0), job(2.0, version="2"), job(3.0, version="gone"), job(4.0, version="13")]
    outcomes = outcomes_of(jobs, models)
    assert answers(outcomes) == [[2.0], [4.0], ErrorCode.UNKNOWN_VERSION, ErrorCode.ARTIFACT_REJECTED]
    assert [outcome.version for outcome in outcomes] == [1, 2, None, 13]


def test_what_a_failed_call_held_is_let_go_before_the_halves_are_tried(models):
    class Hoard:
        """Stands for most of a process's memory."""

    held = []

    def call(method, rows):
        assert all(earlier() is None for earlier in held)
        hoard = Hoard()
        held.append(weakref.ref(hoard))
        if len(rows) > 1:
            raise MemoryError
        return [0.0]

    models.model.call = call
    outcomes = predict_batch([job([float(number)]) for number in range(4)], models)
    assert [outcome.error_message for outcome in outcomes] == [None] * 4


def test_an_error_without_words_is_told_in_words(models):
    def call(method, rows):
        raise MemoryError

    models.model.call = call
    (outcome,) = predict_batch([job([1.0])], models)
    assert (outcome.error_code, outcome.error_message) == (
        ErrorCode.MODEL_ERROR,
        "MemoryError: the job needs more memory than its process may take",
    )
