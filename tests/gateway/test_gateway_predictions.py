"""What becomes of predictions over HTTP, on either store. Tests end the jobs themselves."""

import pytest
from installation import ROW, in_thread, until
from served import accepted, assert_problem, enqueue

from inferq import ErrorCode, State
from inferq_core.ids import JobId, new_batch_id, new_job_id

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def handle(installation, job_id):
    return installation.client.job(job_id)


class TestEnqueue:
    def test_it_is_durable_and_where_to_find_it_is_said(self, http, installation):
        answer = enqueue(http, metadata={"order": 12}, priority="interactive", method="predict_proba", version=1)
        assert answer.status_code == 202
        told = answer.json()
        assert told == {"id": told["id"], "model": "sums", "state": "queued", "eta_seconds": None}
        assert answer.headers["location"] == f"/v1/predictions/{told['id']}"
        view = installation.store.view(told["id"])
        assert (view.state, view.model, view.n_rows, view.version) == (State.QUEUED, "sums", 1, "1")
        assert (view.priority.label, view.method, view.metadata) == ("interactive", "predict_proba", {"order": 12})
        assert installation.depth() == 1

    def test_named_columns_and_missing_values(self, http, installation):
        told = enqueue(http, [{"city": "Bern", "age": None}, {"age": 3, "city": "Ulm"}], model="people").json()
        assert installation.store.inputs(told["id"])["rows"] == [[None, "Bern"], [3.0, "Ulm"]]

    def test_a_key_with_a_deadline_and_a_routing_key(self, http, installation):
        told = enqueue(http, deadline_seconds=30, routing_key="customer 7", headers={"Idempotency-Key": '"a key"'})
        life = installation.store.life(told.json()["id"])
        assert (life.routing_key, life.idempotency_key) == ("customer 7", "a key")
        assert life.deadline_at == pytest.approx(life.view.created_at + 30)

    def test_the_trace_reaches_the_batch(self, http, installation):
        ids = [
            JobId(enqueue(http, headers={"traceparent": trace}).json()["id"]) for trace in (TRACE, "00-no-trace-at-all")
        ]
        claim = installation.store.claim(new_batch_id(), ids, worker="test", lease=60)
        assert {job.id: job.traceparent for job in claim.jobs} == {ids[0]: TRACE, ids[1]: None}

    def test_the_same_key_is_the_same_prediction(self, http):
        first, again = (enqueue(http, headers={"Idempotency-Key": key}) for key in ('"8e03"', "8e03"))
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json()["id"] == first.json()["id"]
        other = enqueue(http, [[9, 9, 9, 9]], headers={"Idempotency-Key": '"8e03"'})
        problem = assert_problem(other, 422, "idempotency-key-reused")
        assert problem["errors"][0]["parameter"] == "Idempotency-Key"

    def test_a_key_of_something_that_has_ended_tells_the_end(self, http, installation):
        key = {"Idempotency-Key": "k"}
        told = enqueue(http, headers=key, metadata={"first": True}).json()
        installation.finish(handle(installation, told["id"]))
        assert enqueue(http, headers=key).json() == told | {"state": "succeeded", "eta_seconds": 0.0}
        waited = enqueue(http, headers=key | {"Prefer": "wait=5"}, metadata={"first": False})
        assert waited.status_code == 200
        assert waited.json()["metadata"] == {"first": True}
        assert waited.json() == http.get(f"/v1/predictions/{told['id']}").json()

    def test_waiting_answers_with_the_result(self, http, installation):
        waiting = in_thread(lambda: enqueue(http, headers={"Prefer": "respond-async, wait=30"}, metadata={"a": 1}))
        until(lambda: installation.store.newest().jobs)
        (row,) = installation.store.newest().jobs
        installation.finish(handle(installation, row.id), outputs="[7.5]")
        answer = waiting()
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=30")
        assert answer.json()["outputs"] == [7.5]
        assert answer.json() == http.get(answer.headers["location"]).json()

    def test_waiting_in_vain_leaves_a_prediction(self, http):
        answer = enqueue(http, headers={"Prefer": "wait=0"})
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=0")
        answer = enqueue(http, headers={"Prefer": "wait=1"})
        assert (answer.status_code, answer.json()["state"]) == (202, "queued")
        assert http.get(answer.headers["location"]).json()["state"] == "queued"

    @pytest.mark.parametrize("preference", ["wait=-1", "wait=soon", "wait", "return=minimal", "wait=1.5"])
    def test_a_preference_that_is_none_is_passed_over(self, http, preference):
        answer = enqueue(http, headers={"Prefer": preference})
        assert answer.status_code == 202
        assert "preference-applied" not in answer.headers


class TestRead:
    def test_a_prediction_as_it_goes(self, http, installation):
        path = f"/v1/predictions/{accepted(http, rows=[ROW, ROW], metadata={'n': 2})}"
        queued = http.get(path)
        assert queued.headers["cache-control"] == "private, no-cache"
        assert {"state": "queued", "rows": 2, "attempts": 0, "outputs": None, "timings": None}.items() <= (
            queued.json().items()
        )
        installation.finish(handle(installation, queued.json()["id"]), outputs="[1.0,2.0]")
        ended = http.get(path)
        assert ended.json()["outputs"] == [1.0, 2.0]
        assert (ended.json()["state"], ended.json()["version"], ended.json()["error"]) == ("succeeded", 1, None)
        assert ended.json()["metadata"] == {"n": 2}
        assert ended.json().keys() == queued.json().keys()
        assert queued.json()["created_at"] == ended.json()["created_at"] <= ended.json()["completed_at"]

    def test_one_that_failed_says_why(self, http, installation):
        job_id = accepted(http)
        installation.finish(
            handle(installation, job_id),
            state=State.FAILED,
            outputs=None,
            error_code=ErrorCode.MODEL_ERROR,
            error_message="ValueError: no",
        )
        told = http.get(f"/v1/predictions/{job_id}").json()
        assert (told["state"], told["outputs"]) == ("failed", None)
        assert told["error"] == {"code": "model_error", "message": "ValueError: no"}

    def test_what_is_known_is_not_sent_again(self, http, installation):
        job_id = accepted(http)
        path = f"/v1/predictions/{job_id}"
        tag = http.get(path).headers["etag"]
        same = http.get(path, headers={"If-None-Match": f'"other", {tag}'})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert http.get(path, headers={"If-None-Match": tag, "Prefer": "wait=1"}).status_code == 304
        waiting = in_thread(lambda: http.get(path, headers={"If-None-Match": tag, "Prefer": "wait=30"}))
        installation.finish(handle(installation, job_id))
        changed = waiting()
        assert (changed.status_code, changed.json()["state"]) == (200, "succeeded")
        assert changed.headers["etag"] != tag
        assert changed.headers["preference-applied"] == "wait=30"

    @pytest.mark.parametrize("job_id", ["01890a5d-ac96-774b-bcce-b302099a8057", "no-id-at-all", "%00", "7", "a%ffb"])
    def test_an_id_never_issued_is_unknown(self, http, job_id):
        for answer in (
            http.get(f"/v1/predictions/{job_id}"),
            http.get(f"/v1/predictions/{job_id}", headers={"Prefer": "wait=5"}),
            http.post(f"/v1/predictions/{job_id}/cancel"),
            http.put(f"/v1/predictions/{job_id}/feedback", json={"actual": 7}),
        ):
            assert_problem(answer, 404, "unknown-prediction")


class TestChange:
    def test_it_is_taken_back_once_and_what_ended_stays(self, http, installation):
        queued, ended = accepted(http), accepted(http)
        installation.finish(handle(installation, ended))
        for _ in range(2):
            assert http.post(f"/v1/predictions/{queued}/cancel").json()["state"] == "cancelled"
        assert http.post(f"/v1/predictions/{ended}/cancel").json()["state"] == "succeeded"
        assert installation.store.state(JobId(queued)) is State.CANCELLED

    @pytest.mark.parametrize("actual", [7, "cat", [1, 2], None, {"box": [0, 0, 1, 1]}])
    def test_the_truth_is_told(self, http, installation, actual):
        job_id = JobId(accepted(http))
        for value in (0, actual):
            assert http.put(f"/v1/predictions/{job_id}/feedback", json={"actual": value}).status_code == 204
        assert installation.store.feedback([job_id])[job_id].actual == actual
        assert len(installation.store.life(job_id).feedback) == 2


class TestList:
    def ids(self, http, **query):
        answer = http.get("/v1/predictions", params=query)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["predictions"]]

    def test_the_newest_first_page_by_page(self, http):
        ids = [accepted(http) for _ in range(5)]
        found, cursor = [], None
        while True:
            page = http.get("/v1/predictions", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            found += [item["id"] for item in page["predictions"]]
            assert len(page["predictions"]) <= 2
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == ids[::-1]

    def test_only_what_matches(self, http, installation):
        first, second = accepted(http), accepted(http)
        people = accepted(http, rows=[{"age": 1, "city": "Ulm"}], model="people")
        installation.finish(handle(installation, second))
        assert self.ids(http, model="people") == [people]
        assert self.ids(http, state="queued") == [people, first]
        assert self.ids(http, state="succeeded", version=1) == [second]
        assert self.ids(http, version=1) == [second]
        assert self.ids(http, version=2) == []
        assert self.ids(http, model="nobody") == []
        assert self.ids(http, created_after="2000-01-01T00:00:00Z") == [people, second, first]
        assert self.ids(http, created_after="2999-01-01T00:00:00+02:00") == []
        assert self.ids(http, created_after="0001-01-01T00:00:00Z") == [people, second, first]

    @pytest.mark.parametrize(
        ("query", "name"),
        [
            ({"limit": "0"}, "limit"),
            ({"limit": "many"}, "limit"),
            ({"state": "lost"}, "state"),
            ({"version": "9" * 40}, "version"),
            ({"created_after": "yesterday"}, "created_after"),
            ({"created_after": "0.5"}, "created_after"),
            ({"created_after": "2026-01-01T00:00:00"}, "created_after"),
            ({"cursor": "nonsense"}, "cursor"),
            ({"cursor": "é"}, "cursor"),
            ({"colour": "red"}, "colour"),
        ],
    )
    def test_a_wrong_parameter_is_named(self, http, query, name):
        problem = assert_problem(http.get("/v1/predictions", params=query), 422, "invalid-input")
        assert [fault["parameter"] for fault in problem["errors"]] == [name]
        assert problem["errors"][0]["expected"]
        assert problem["errors"][0]["got"]


def test_nothing_is_stored_for_what_is_refused(http, installation):
    assert_problem(enqueue(http, [[1, 2]]), 422, "invalid-input")
    assert_problem(enqueue(http, model="nobody"), 404, "unknown-model")
    assert_problem(enqueue(http, version="ghost"), 404, "unknown-version")
    assert http.get("/v1/predictions").json() == {"predictions": [], "next_cursor": None}


def test_a_job_of_another_client_is_the_same_prediction(http, installation):
    job = installation.client.submit("sums", ROW)
    assert http.get(f"/v1/predictions/{job.id.upper()}").json()["id"] == job.id
    assert http.get(f"/v1/predictions/{new_job_id()}").status_code == 404
