"""Who may do what over HTTP, on either store."""

import subprocess
import sys

import pytest
from installation import ROW, until
from served import PATIENCE, ServedHere, accepted, assert_problem, bearing, enqueue, process_of

from inferq.gateway import access
from inferq_core.ids import JobId, new_job_id
from inferq_core.keys import new_key
from inferq_core.store.records import KeyScope

SUBMIT, READ, FEEDBACK, ADMIN = KeyScope.SUBMIT, KeyScope.READ, KeyScope.FEEDBACK, KeyScope.ADMIN


def key_id(headers):
    return headers["Authorization"].split("_")[1]


def ids(http, headers, **query):
    answer = http.get("/v1/predictions", headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["predictions"]]


@pytest.fixture
def mine(installation):
    """A key that is there before the gateway starts."""
    return bearing(installation.store, SUBMIT, FEEDBACK)


@pytest.fixture
def http(mine, installation):
    with ServedHere(installation) as http:
        yield http


def paths(job_id):
    return [
        ("POST", "/v1/models/sums/predictions"),
        ("GET", f"/v1/predictions/{job_id}"),
        ("POST", f"/v1/predictions/{job_id}/cancel"),
        ("GET", f"/v1/predictions/{job_id}/events"),
        ("POST", "/v1/models/sums/batches"),
        ("GET", "/v1/batches"),
        ("GET", f"/v1/batches/{job_id}"),
        ("GET", f"/v1/batches/{job_id}/results"),
        ("POST", f"/v1/batches/{job_id}/cancel"),
        ("PUT", f"/v1/predictions/{job_id}/feedback"),
        ("GET", "/v1/predictions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/sums"),
        ("GET", "/v1/models/sums/versions"),
        ("GET", "/v1/models/sums/versions/1"),
        ("GET", "/v1/models/sums/aliases"),
    ]


def test_without_a_good_key_nothing_is_told(http, mine, installation):
    job_id = accepted(http, headers=mine)
    good = mine["Authorization"]
    wrong = [
        None,
        "",
        "Bearer",
        "Bearer x",
        good.removeprefix("Bearer "),
        f"Basic {good.split()[1]}",
        good[:-1] + ("a" if good[-1] != "a" else "b"),
        f"Bearer {new_key()[1]}",
        "Bearer é",
    ]
    for method, path in paths(job_id):
        for value in wrong:
            headers = {} if value is None else {"Authorization": value.encode()}
            answer = http.request(method, path, headers=headers, json={"inputs": [ROW]} if method == "POST" else None)
            assert_problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == 'Bearer realm="inferq"'
            assert job_id not in answer.text
    for path in ("/v1/health/live", "/v1/health/ready", "/openapi.json"):
        assert http.get(path).status_code == 200


def test_every_described_route_needs_a_key(http):
    open_paths = ("/v1/health/live", "/v1/health/ready")
    for path, methods in http.get("/openapi.json").json()["paths"].items():
        for method in methods:
            if path not in open_paths and not path.startswith("/v2/health") and path != "/v2":
                answer = http.request(method, path.replace("{model}", "sums").replace("{", "").replace("}", ""))
                assert answer.status_code == 401, (method, path)


def test_a_key_sees_its_own_only(http, mine, installation):
    other = bearing(installation.store, SUBMIT, FEEDBACK)
    job_id, theirs = accepted(http, headers=mine), accepted(http, headers=other)
    nobodys = installation.client.submit("sums", ROW).id
    assert installation.store.view(JobId(job_id)).owner == key_id(mine)
    assert ids(http, mine) == [job_id]
    assert ids(http, other, state="queued") == [theirs]
    unknown = http.get(f"/v1/predictions/{new_job_id()}", headers=mine)
    for hidden in (theirs, nobodys):
        for answer in (
            http.get(f"/v1/predictions/{hidden}", headers=mine),
            http.get(f"/v1/predictions/{hidden}", headers=mine | {"Prefer": "wait=5"}),
            http.post(f"/v1/predictions/{hidden}/cancel", headers=mine),
            http.put(f"/v1/predictions/{hidden}/feedback", headers=mine, json={"actual": 1}),
        ):
            problem = assert_problem(answer, 404, "unknown-prediction")
            # Nothing tells it from one that does not exist.
            assert problem | {"request_id": ""} == unknown.json() | {"request_id": ""}
        assert installation.store.state(JobId(hidden)) == "queued"
        assert installation.store.feedback([JobId(hidden)]) == {}
    assert http.put(f"/v1/predictions/{job_id}/feedback", headers=mine, json={"actual": 1}).status_code == 204
    assert http.post(f"/v1/predictions/{job_id}/cancel", headers=mine).json()["state"] == "cancelled"


def test_scopes(http, mine, installation):
    job_id = accepted(http, headers=mine)
    path = f"/v1/predictions/{job_id}"
    reader, teller, submitter, admin = (
        bearing(installation.store, *scopes) for scopes in ([READ], [READ, FEEDBACK], [SUBMIT], [ADMIN])
    )
    assert http.get(path, headers=reader).json()["id"] == job_id
    assert ids(http, reader) == [job_id]
    for answer in (
        enqueue(http, headers=reader),
        http.post(f"{path}/cancel", headers=reader),
        http.put(f"{path}/feedback", headers=reader, json={"actual": 1}),
        http.post(f"{path}/cancel", headers=teller),
        http.put(
            f"/v1/predictions/{accepted(http, headers=submitter)}/feedback", headers=submitter, json={"actual": 1}
        ),
    ):
        assert_problem(answer, 403, "forbidden")
    assert installation.store.state(JobId(job_id)) == "queued"
    assert http.put(f"{path}/feedback", headers=teller, json={"actual": 1}).status_code == 204
    assert http.post(f"{path}/cancel", headers=admin).json()["state"] == "cancelled"
    assert accepted(http, headers=admin) in ids(http, admin)


def test_patterns_of_models(http, mine, installation):
    narrow = bearing(installation.store, ADMIN, models=["peop*"])
    hidden = accepted(http, headers=mine)
    seen = accepted(http, headers=narrow, rows=[{"age": 1, "city": "Ulm"}], model="people")
    assert ids(http, narrow) == [seen]
    assert [model["name"] for model in http.get("/v1/models", headers=narrow).json()["models"]] == ["people"]
    assert_problem(enqueue(http, headers=narrow), 404, "unknown-model")
    assert_problem(http.get(f"/v1/predictions/{hidden}", headers=narrow), 404, "unknown-prediction")
    for tail in ("", "/versions", "/versions/1", "/aliases"):
        assert http.get(f"/v1/models/people{tail}", headers=narrow).status_code == 200
        assert_problem(http.get(f"/v1/models/sums{tail}", headers=narrow), 404, "unknown-model")


def test_idempotency_keys_of_others_do_not_meet(http, mine, installation):
    other = bearing(installation.store, SUBMIT)
    same = {"Idempotency-Key": "order-1"}
    first, again = accepted(http, headers=mine | same), accepted(http, headers=mine | same)
    theirs = accepted(http, headers=other | same, rows=[[9, 9, 9, 9]])
    assert first == again != theirs


def test_a_revoked_key_and_the_first_key(http, mine, installation, monkeypatch):
    monkeypatch.setattr(access, "FRESH_SECONDS", 0)
    assert http.get("/v1/models", headers=mine).status_code == 200
    installation.store.revoke_key(key_id(mine))
    assert http.get("/v1/models", headers=mine).status_code == 401
    # Once there was a key, none is not enough.
    assert http.get("/v1/models").status_code == 401


def test_with_keys_any_host_is_spoken_to(http, mine):
    assert http.get("/v1/models", headers=mine | {"Host": "api.example"}).status_code == 200


def test_the_first_key_closes_a_gateway_that_runs(local, monkeypatch):
    monkeypatch.setattr(access, "FRESH_SECONDS", 0)
    with ServedHere(local) as http:
        job_id = accepted(http)
        key = bearing(local.store, SUBMIT)
        assert http.get(f"/v1/predictions/{job_id}").status_code == 401
        assert http.get(f"/v1/predictions/{job_id}", headers=key).status_code == 404
        assert http.get(f"/v1/predictions/{job_id}", headers=bearing(local.store, READ)).status_code == 200


def test_keys_are_made_listed_and_revoked_by_command(local, tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "inferq.cli.main", "keys", *arguments]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **local.settings.environment()}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True)

    key = run("create", "shop", "--scope", "submit", "--scope", "feedback").stdout.strip()
    [record] = local.store.all_keys()
    assert (record.name, record.scopes) == ("shop", {SUBMIT, FEEDBACK})
    assert "shop" in run("list").stdout
    assert key not in run("list").stdout + run("list", "--json").stdout
    assert key.rpartition("_")[2].encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("inferq.db*"))
    headers = {"Authorization": f"Bearer {key}"}
    with process_of(local.settings, tmp_path / "gateway.log", "--host", "0.0.0.0") as gateway:
        assert gateway.http.get("/v1/models", headers=headers).status_code == 200
        assert gateway.http.get("/v1/models").status_code == 401
        run("revoke", record.id)
        until(lambda: gateway.http.get("/v1/models", headers=headers).status_code == 401)
    assert key not in (tmp_path / "gateway.log").read_text()
    assert f'"key": "{record.id}"' in (tmp_path / "gateway.log").read_text()
