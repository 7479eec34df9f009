"""Rollouts over HTTP, on either store."""

import pytest
from administering import key_of, logged
from installation import add_version, frame_signature, matrix_signature
from served import ServedHere, assert_problem

from inferq_core.store.records import KeyScope

PATH = "/v1/models/sums/rollout"


@pytest.fixture
def admin(installation):
    add_version(installation.store, "sums", matrix_signature())
    installation.store.set_alias("sums", "champion", 1)
    return key_of(installation.store)


@pytest.fixture
def http(admin, installation):
    with ServedHere(installation) as http:
        yield http


def variants(told):
    return [(each["role"], each["version"], each["weight"]) for each in told.json()["variants"]]


def test_begin_read_change_and_end(http, admin, installation):
    key_id, headers = admin
    _, reader = key_of(installation.store, KeyScope.SUBMIT)
    assert_problem(http.get(PATH, headers=reader), 404, "unknown-rollout")
    begun = http.put(PATH, headers=headers, json={"canary": 2, "weight": 50})
    assert (begun.status_code, variants(begun)) == (200, [("primary", 1, 950), ("canary", 2, 50)])
    assert http.get(PATH, headers=reader).json() == begun.json()
    turned = http.put(PATH, headers=headers, json={"canary": "champion", "weight": 0, "primary": "2"})
    assert variants(turned) == [("primary", 2, 1000), ("canary", 1, 0)]
    assert http.delete(PATH, headers=headers).status_code == 204
    assert_problem(http.delete(PATH, headers=headers), 404, "unknown-rollout")
    assert [event for event, _ in logged(installation.store)] == ["rollout_changed", "rollout_changed", "rollout_ended"]
    assert {fields["by"] for _, fields in logged(installation.store)} == {f"key {key_id}"}


def test_what_is_refused(http, admin, installation):
    _, headers = admin
    _, reader = key_of(installation.store, KeyScope.READ, KeyScope.SUBMIT)
    add_version(installation.store, "sums", frame_signature())
    installation.store.set_alias("sums", "champion", 1)
    for body in (
        {"canary": 2},
        {"weight": 5},
        {"canary": 2, "weight": 1001},
        {"canary": 2, "weight": 0.5},
        {"canary": None, "weight": 5},
        {"canary": 1, "weight": 5},
        {"canary": 3, "weight": 5},
        {"canary": 2, "weight": 5, "shadow": 3},
    ):
        assert_problem(http.put(PATH, headers=headers, json=body), 422, "invalid-input")
    assert_problem(http.put(PATH, headers=headers, json={"canary": 9, "weight": 5}), 404, "unknown-version")
    assert_problem(http.get("/v1/models/nobody/rollout", headers=headers), 404, "unknown-model")
    good = {"canary": 2, "weight": 5}
    assert_problem(http.put(PATH, headers=reader, json=good), 403, "forbidden")
    assert_problem(http.delete(PATH, headers=reader), 403, "forbidden")
    assert installation.store.rollout("sums") is None
