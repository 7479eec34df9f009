"""One request about many predictions: all or none, and only for who may."""

import pytest
from installation import in_thread, until
from served import PATIENCE, ROW, accepted, assert_problem
from test_gateway_keys import bearing

from inferq_core.ids import new_job_id
from inferq_core.store.records import KeyScope

PATH = "/v1/predictions"


def enqueue_many(http, items, headers=None, **fields):
    return http.post("/v1/models/sums/predictions:enqueue", json={"items": items, **fields}, headers=headers)


def test_many_are_enqueued_in_order_and_once(http, installation):
    key = {"Idempotency-Key": "load-7"}
    answer = enqueue_many(http, [[ROW], [ROW, ROW]], key, metadata={"load": 7})
    assert answer.status_code == 202, answer.text
    ids = answer.json()["ids"]
    assert [installation.store.view(job_id).n_rows for job_id in ids] == [1, 2]
    assert installation.store.view(ids[1]).priority.label == "bulk"
    assert installation.store.view(ids[0]).metadata == {"load": 7}
    assert enqueue_many(http, [[ROW], [ROW, ROW]], key).json()["ids"] == ids
    assert_problem(enqueue_many(http, [[[9, 9, 9, 9]]], key), 422, "idempotency-key-reused")
    assert len(http.get(PATH).json()["predictions"]) == 2


@pytest.mark.parametrize(
    ("items", "pointer"),
    [
        ([[ROW], [ROW, [1, 2, "three", 4]]], "/items/1/1/2"),
        ([[ROW], []], "/items/1"),
        ([[ROW], ROW], "/items/1/0"),
        ([[ROW], {"a": 1}], "/items/1"),
        ([], "/items"),
    ],
)
def test_one_that_does_not_fit_refuses_all(local_http, items, pointer):
    problem = assert_problem(enqueue_many(local_http, items), 422, "invalid-input")
    assert problem["errors"][0]["pointer"] == pointer
    assert local_http.get(PATH).json()["predictions"] == []


def test_those_that_ended_are_told_and_waited_for(http, installation):
    first, second = (installation.client.job(accepted(http)) for _ in range(2))
    asked = {"ids": [first.id, second.id.upper(), first.id]}
    assert http.post(f"{PATH}:query", json=asked).json() == {"predictions": [], "unfinished": 2}
    wait = {"Prefer": f"wait={PATIENCE}"}
    answer = in_thread(lambda: http.post(f"{PATH}:query", json=asked, headers=wait).json())
    installation.finish(second)
    told = answer()
    assert told["unfinished"] == 1
    assert told["predictions"] == [http.get(f"{PATH}/{second.id}").json()]


def test_many_are_taken_back_and_run_again(http, installation):
    queued, done = (installation.client.job(accepted(http)) for _ in range(2))
    installation.finish(done)
    ids = {"ids": [queued.id, done.id]}
    problem = assert_problem(http.post(f"{PATH}:retry", json=ids), 409, "unfinished")
    assert queued.id in problem["detail"]
    found = http.post(f"{PATH}:cancel", json=ids).json()["found"]
    assert found == {queued.id: "queued", done.id: "succeeded"}
    again = http.post(f"{PATH}:retry", json={"ids": [done.id, queued.id, done.id.upper()]})
    assert again.status_code == 202
    new = again.json()["ids"]
    assert new[0] == new[2] != new[1]
    assert http.post(f"{PATH}:retry", json=ids).json()["ids"] == [new[1], new[0]]


def test_the_truth_of_many_is_kept_all_or_none(http, installation):
    first, second = accepted(http), accepted(http)
    told = [{"id": first, "actual": 7}, {"id": second, "actual": [8]}]
    stranger = {"id": new_job_id(), "actual": 9}
    problem = assert_problem(
        http.post(f"{PATH}:feedback", json={"feedback": [*told, stranger]}), 404, "unknown-prediction"
    )
    assert problem["errors"][0]["pointer"] == "/feedback/2/id"
    assert not installation.store.feedback([first, second])
    assert http.post(f"{PATH}:feedback", json={"feedback": told}).status_code == 204
    kept = installation.store.feedback([first, second])
    assert (kept[first].actual, kept[second].actual) == (7, [8])


def test_keys_reach_no_further_than_with_one(local_http, local):
    mine = bearing(local.store, KeyScope.SUBMIT)
    theirs = bearing(local.store, KeyScope.SUBMIT)
    reader, admin = bearing(local.store, KeyScope.READ), bearing(local.store, KeyScope.ADMIN)
    ids = {"ids": enqueue_many(local_http, [[ROW], [ROW]], mine).json()["ids"]}
    for verb in ("query", "cancel", "retry"):
        assert_problem(local_http.post(f"{PATH}:{verb}", json=ids), 401, "unauthorized")
        problem = assert_problem(local_http.post(f"{PATH}:{verb}", json=ids, headers=theirs), 404, "unknown-prediction")
        assert problem["errors"][0]["pointer"] == "/ids/0"
    assert_problem(enqueue_many(local_http, [[ROW]], reader), 403, "forbidden")
    assert local_http.post(f"{PATH}:query", json=ids, headers=reader).json()["unfinished"] == 2
    for verb in ("cancel", "retry"):
        assert_problem(local_http.post(f"{PATH}:{verb}", json=ids, headers=reader), 403, "forbidden")
    told = {"feedback": [{"id": ids["ids"][0], "actual": 1}]}
    assert_problem(local_http.post(f"{PATH}:feedback", json=told, headers=mine), 403, "forbidden")
    assert local_http.post(f"{PATH}:cancel", json=ids, headers=admin).status_code == 200
    [new, _] = local_http.post(f"{PATH}:retry", json=ids, headers=mine).json()["ids"]
    assert local_http.get(f"{PATH}/{new}", headers=mine).status_code == 200
    until(lambda: local_http.get(f"{PATH}/{new}", headers=theirs).status_code == 404)
