"""Ground truth: history is kept, the last one counts."""

import math

import numpy as np
import pytest
from given import accepted, finished
from sqlalchemy import func, select

from inferq_core.errors import InvalidInput, UnknownJob
from inferq_core.ids import new_job_id
from inferq_core.store.tables import feedback


def n_rows(store):
    return store._database.read(lambda connection: connection.scalar(select(func.count()).select_from(feedback)))


def test_feedback_for_jobs_in_any_state(store):
    (queued,), (done,) = accepted(store), finished(store)
    store.add_feedback([(queued, 1), (done, ["cat", None, 0.5])])
    known = store.feedback([queued, done, new_job_id(), "garbage"])
    assert known.keys() == {queued, done}
    assert known[queued].actual == 1
    assert known[done].actual == ["cat", None, 0.5]
    assert known[done].job_id == done
    assert known[done].created_at >= store.result(done).completed_at - 0.01


def test_the_last_one_counts_and_the_history_stays(store):
    (job_id,) = accepted(store)
    for actual in (1, 2):
        store.add_feedback([(job_id, actual)])
    store.add_feedback([(job_id, 3), (job_id, 4)])
    assert store.feedback([job_id])[job_id].actual == 4
    assert n_rows(store) == 4


@pytest.mark.parametrize("unknown", ["01890a5d-ac96-774b-bcce-b302099a8057", "garbage"])
def test_an_unknown_job_refuses_all_of_it(store, unknown):
    (job_id,) = accepted(store)
    with pytest.raises(UnknownJob, match=unknown):
        store.add_feedback([(job_id, 1), (unknown, 2)])
    assert store.feedback([job_id]) == {}
    assert n_rows(store) == 0


@pytest.mark.parametrize(
    ("given", "stored"),
    [(np.int64(3), 3), (np.array([1.5, 2.5]), [1.5, 2.5]), (np.str_("a"), "a"), (True, True), (None, None)],
)
def test_numpy_values_are_taken(store, given, stored):
    (job_id,) = accepted(store)
    store.add_feedback([(job_id, given)])
    assert store.feedback([job_id])[job_id].actual == stored


@pytest.mark.parametrize("given", [math.nan, [1.0, math.inf], np.array([math.nan]), object(), {1, 2}])
def test_what_has_no_json_form_is_refused(store, given):
    (job_id,) = accepted(store)
    with pytest.raises(InvalidInput, match=job_id):
        store.add_feedback([(job_id, given)])
    assert n_rows(store) == 0


def test_no_feedback(store):
    store.add_feedback([])
    assert store.feedback([]) == {}
