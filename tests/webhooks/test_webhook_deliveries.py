"""Webhooks from a request to the receiver, with everything that a receiver can do wrong. Bar 4 of the HTTP issue."""

import json
import threading

import pytest
from delivering import PATIENCE
from harness import wait_for
from receiving import RESET, status
from standardwebhooks import Webhook, WebhookVerificationError


def secret(delivering):
    return delivering.http.get("/v1/webhooks/secret").json()["secret"]


def test_a_public_verifier_accepts_what_is_sent_and_refuses_what_was_altered(delivering, receivers):
    receiver = receivers()
    job_id = delivering.predict(receiver.url("/hook?who=me"))
    wait_for(lambda: receiver.received, timeout=PATIENCE, what="the webhook")
    (got,) = receiver.received
    event = Webhook(secret(delivering)).verify(got.body, got.headers)
    assert got.head == "POST /hook?who=me HTTP/1.1"
    assert got.headers["content-type"] == "application/cloudevents+json"
    assert (event["specversion"], event["type"], event["subject"]) == ("1.0", "inferq.prediction.succeeded", job_id)
    assert event["source"] == f"urn:inferq:store:{delivering.store.store_id}"
    assert event["id"] == got.headers["webhook-id"]
    assert event["data"] == delivering.http.get(f"/v1/predictions/{job_id}").json()
    for body, headers in (
        (got.body.replace(b"succeeded", b"failed"), got.headers),
        (got.body, {**got.headers, "webhook-id": "another"}),
        (got.body, {**got.headers, "webhook-timestamp": str(int(got.headers["webhook-timestamp"]) - 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret(delivering)).verify(body, headers)


def test_a_webhook_of_a_model_its_rotation_and_its_end(delivering, receivers):
    receiver = receivers(status(200), status(200), status(410))
    asked = {"url": receiver.url(), "states": ["succeeded"]}
    made = delivering.http.post("/v1/models/sum/webhooks", json=asked)
    assert made.status_code == 201, made.text
    webhook = made.json()
    where = made.headers["location"]
    quiet = receivers()
    rotated = None
    for number in range(3):
        job_id = delivering.predict(quiet.url())
        wait_for(lambda count=number + 1: len(receiver.received) == count, timeout=PATIENCE, what="the webhook")
        got = receiver.received[-1]
        assert json.loads(got.body)["subject"] == job_id
        for known in filter(None, (webhook["secret"], rotated)):
            Webhook(known).verify(got.body, got.headers)
        if number == 0:
            rotated = delivering.http.post(f"{where}/rotate").json()["secret"]
    wait_for(lambda: delivering.http.get(where).json()["disabled_at"], timeout=PATIENCE, what="410 to disable it")
    (failed,) = delivering.deliveries(webhook=webhook["id"], state="failed")
    assert failed["status"] == 410
    assert delivering.http.post(f"{where}/enable").json()["disabled_at"] is None
    assert delivering.http.post(f"/v1/webhooks/deliveries/{failed['id']}/replay").json()["state"] == "pending"
    wait_for(lambda: len(receiver.received) == 4, timeout=PATIENCE, what="the replay")
    assert receiver.ids()[3] == receiver.ids()[2]
    assert delivering.http.delete(where).status_code == 204


def test_bad_receivers_delay_nobody_else(delivering, receivers):
    hanging, elsewhere = receivers(hold=True), receivers()
    bad = [
        hanging,
        receivers(status(302, f"Location: {elsewhere.url()}")),
        receivers(RESET),
        receivers(*[status(500)] * 9, status(200)),
        receivers(b"SSH-2.0-OpenSSH\r\n\r\n"),
    ]
    good = receivers()
    suffering = {one: [delivering.predict(one.url()) for _ in range(12 if one is hanging else 1)] for one in bad}
    wait_for(lambda: hanging.received, timeout=PATIENCE, what="the receiver that hangs")
    served = {delivering.predict(good.url()) for _ in range(30)}
    wait_for(lambda: len(set(good.ids())) == len(served), timeout=PATIENCE, what="the others")
    assert {job_id.removesuffix("-succeeded") for job_id in good.ids()} == served
    assert {one["state"] for job_id in suffering[hanging] for one in delivering.deliveries(prediction=job_id)} == {
        "pending"
    }
    hanging.release()
    _, redirecting, resetting, failing, talking = bad
    for one, code, words in ((redirecting, 302, "302"), (resetting, None, "connection"), (talking, None, "HTTP")):
        delivery = delivering.ended(suffering[one][0])
        assert (delivery["state"], delivery["status"], delivery["attempts"]) == ("failed", code, 10)
        assert words in delivery["error"].lower().replace("http", "HTTP")
        assert set(one.ids()) == {delivery["event_id"]}
    assert elsewhere.received == []
    delivery = delivering.ended(suffering[failing][0])
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 10, 200)
    assert {delivering.ended(job_id)["state"] for job_id in suffering[hanging]} == {"delivered"}


def test_retry_after_is_honoured(delivering, receivers):
    receiver = receivers(status(503, "Retry-After: 3600"))
    job_id = delivering.predict(receiver.url())

    def tried():
        return next((one for one in delivering.deliveries(prediction=job_id) if one["status"]), None)

    delivery = wait_for(tried, timeout=PATIENCE, what="the first try")
    stored = delivering.store.delivery(delivery["id"])
    assert stored.due_at - stored.attempted_at > 3000


def test_delivery_goes_on_after_the_sender_was_killed(delivering, receivers):
    held, waiting = receivers(hold=True), receivers()
    job_id = delivering.predict(held.url())
    wait_for(lambda: held.received, timeout=PATIENCE, what="the first try")
    delivering.system.kill(delivering.deliverer)
    later = [delivering.predict(waiting.url()) for _ in range(5)]
    assert {delivering.system.client.result(one, timeout=PATIENCE).state for one in later} == {"succeeded"}
    delivering.system.broker.client.flushall()
    held.release()
    threading.Event().wait(0.1)
    assert waiting.received == []
    delivering.deliverer = delivering.start_deliverer()
    assert {delivering.ended(one)["state"] for one in [job_id, *later]} == {"delivered"}
    assert set(held.ids()) == {f"{job_id}-succeeded"}
    assert sorted(waiting.ids()) == sorted(f"{one}-succeeded" for one in later)


def test_nothing_secret_is_in_a_log(delivering):
    logs = "".join(process.log.read_text() for process in delivering.system._processes)
    assert '"verdict": "delivered"' in logs
    for told in (secret(delivering), "whsec_", "who=me"):
        assert told not in logs
