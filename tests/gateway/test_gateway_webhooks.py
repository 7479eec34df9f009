"""Webhooks over HTTP, on either store: who may make them, who sees what became of them."""

import pytest
from served import ServedHere, accepted, assert_problem, enqueue
from test_gateway_keys import ADMIN, READ, SUBMIT, bearing, key_id

from inferq_core.ids import new_job_id
from inferq_core.signing import secret_of_owner
from inferq_core.store.webhook_records import Settled

URL = "https://example.com/hook?token=capability"


@pytest.fixture
def admin(installation):
    return bearing(installation.store, ADMIN)


@pytest.fixture
def http(admin, installation):
    with ServedHere(installation) as http:
        yield http


def make(http, admin, model="sums", **fields):
    return http.post(f"/v1/models/{model}/webhooks", headers=admin, json={"url": URL, **fields})


def ended(http, installation, headers):
    """The id of a prediction with a webhook that has ended."""
    job_id = accepted(http, headers=headers, webhook={"url": URL})
    installation.client.cancel(job_id)
    return job_id


def listed(http, headers, **query):
    answer = http.get("/v1/webhooks/deliveries", headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_webhooks_of_models_are_for_administrators(http, admin, installation):
    made = make(http, admin, states=["failed", "succeeded"])
    assert made.status_code == 201, made.text
    webhook = made.json()
    where = made.headers["location"]
    assert webhook["secret"].startswith("whsec_")
    assert http.get(where, headers=admin).json() == {key: webhook[key] for key in webhook if key != "secret"}
    assert [one["id"] for one in http.get("/v1/models/sums/webhooks", headers=admin).json()["webhooks"]] == [
        webhook["id"]
    ]
    assert http.get("/v1/models/people/webhooks", headers=admin).json() == {"webhooks": []}
    other = bearing(installation.store, ADMIN, models=["people"])
    submit = bearing(installation.store, SUBMIT, READ)
    for method, path in (("GET", where), ("DELETE", where), ("POST", f"{where}/rotate"), ("POST", f"{where}/enable")):
        assert_problem(http.request(method, path, headers=submit), 403, "forbidden")
        assert_problem(http.request(method, path, headers=other), 404, "unknown-webhook")
    assert_problem(make(http, submit), 403, "forbidden")
    for path, methods in ((where, "DELETE, GET"), ("/v1/models/sums/webhooks", "GET, POST")):
        assert http.options(path, headers=admin).headers["allow"] == methods
    assert_problem(make(http, other), 404, "unknown-model")
    assert_problem(make(http, admin, model="nobody"), 404, "unknown-model")
    assert http.post(f"{where}/rotate", headers=admin).json()["secret"] != webhook["secret"]
    assert http.delete(where, headers=admin).status_code == 204
    assert_problem(http.get(where, headers=admin), 404, "unknown-webhook")


def test_a_webhook_that_cannot_be_is_refused_with_the_request(http, admin):
    for webhook, pointer in (
        ({"url": "http://example.com/"}, "/webhook/url"),
        ({"url": "https://127.0.0.1/"}, "/webhook/url"),
        ({"url": URL, "states": []}, "/webhook/states"),
        ({"url": URL, "states": ["running"]}, "/webhook/states/0"),
        ({"url": URL, "secret": "mine"}, "/webhook/secret"),
        ({}, "/webhook/url"),
    ):
        problem = assert_problem(enqueue(http, headers=admin, webhook=webhook), 422, "invalid-input")
        assert problem["errors"][0]["pointer"] == pointer
    assert http.get("/v1/predictions", headers=admin).json()["predictions"] == []
    inside = assert_problem(make(http, admin, url="https://10.0.0.1/"), 422, "invalid-input")
    assert inside["errors"][0]["pointer"] == "/url"


def test_deliveries_are_seen_like_predictions(http, admin, installation):
    store = installation.store
    mine, others, reader = (bearing(store, SUBMIT), bearing(store, SUBMIT), bearing(store, READ))
    webhook = make(http, admin).json()
    job_id = ended(http, installation, mine)
    own, of_model = sorted(listed(http, admin)["deliveries"], key=lambda one: one["webhook_id"] or "")
    assert (own["prediction_id"], own["event_type"], own["state"]) == (job_id, "inferq.prediction.cancelled", "pending")
    assert (own["url"], of_model["webhook_id"]) == (URL, webhook["id"])
    assert listed(http, mine)["deliveries"] == [own]
    assert listed(http, reader)["deliveries"] == [{**own, "url": None}]
    assert listed(http, others)["deliveries"] == []
    where = f"/v1/webhooks/deliveries/{own['id']}"
    assert http.get(where, headers=mine).json() == own
    for stranger, path in ((others, where), (mine, f"/v1/webhooks/deliveries/{of_model['id']}")):
        assert_problem(http.get(path, headers=stranger), 404, "unknown-delivery")
        assert_problem(http.post(f"{path}/replay", headers=stranger), 404, "unknown-delivery")
    assert_problem(http.post(f"{where}/replay", headers=reader), 403, "forbidden")
    for unknown in ("17", new_job_id()):
        assert_problem(http.get(f"/v1/webhooks/deliveries/{unknown}", headers=admin), 404, "unknown-delivery")


def test_deliveries_are_listed_by_pages_and_replayed(http, admin, installation):
    jobs = [ended(http, installation, admin) for _ in range(3)]
    claimed = installation.store.claim_deliveries(lease=60.0, busy={}, per_host=8, limit=8)
    installation.store.settle([Settled(claimed[0], status=204, delivered=True), Settled(claimed[1], error="no")])
    done = listed(http, admin, state="delivered")["deliveries"]
    assert [one["prediction_id"] for one in done] == [claimed[0].job_id]
    assert [one["error"] for one in listed(http, admin, state="failed")["deliveries"]] == ["no"]
    first = listed(http, admin, limit=2)
    second = listed(http, admin, limit=2, cursor=first["next_cursor"])
    assert [one["prediction_id"] for one in first["deliveries"] + second["deliveries"]] == jobs[::-1]
    assert second["next_cursor"] is None
    assert [one["prediction_id"] for one in listed(http, admin, prediction=jobs[1])["deliveries"]] == [jobs[1]]
    replayed = http.post(f"/v1/webhooks/deliveries/{done[0]['id']}/replay", headers=admin).json()
    assert (replayed["state"], replayed["attempts"], replayed["ended_at"]) == ("pending", 0, None)
    assert replayed["next_attempt_at"]
    assert_problem(http.get("/v1/webhooks/deliveries?state=gone", headers=admin), 422, "invalid-input")


def test_each_key_has_a_secret_of_its_own(http, admin, installation):
    mine = bearing(installation.store, SUBMIT)
    secrets = [http.get("/v1/webhooks/secret", headers=headers).json()["secret"] for headers in (mine, admin, mine)]
    assert secrets[0] == secrets[2] != secrets[1]
    rotated = http.post("/v1/webhooks/secret/rotate", headers=mine).json()["secret"]
    assert installation.store.signing_secrets(secret_of_owner(key_id(mine))) == [rotated, secrets[0]]
    assert_problem(http.get("/v1/webhooks/secret", headers=bearing(installation.store, READ)), 403, "forbidden")
