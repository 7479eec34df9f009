"""What keys with the scope admin may change over HTTP, on either store."""

import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from administering import key_of, logged
from installation import Installation, add_version, matrix_signature
from pydantic import SecretStr
from served import ServedHere, assert_problem, process_of
from sqlalchemy import create_engine, make_url, text

from inferq import Client
from inferq_core.store import open_store
from inferq_core.store.records import KeyScope

HERE = Path(__file__).parent
# What changes models: the method, the path behind the model's, a body.
CHANGES = [
    ("PATCH", "", {"max_backlog": 5}),
    ("PUT", "/aliases/challenger", {"version": 1}),
    ("DELETE", "/aliases/challenger", None),
]


@pytest.fixture
def admin(installation):
    return key_of(installation.store)


@pytest.fixture
def http(admin, installation):
    with ServedHere(installation) as http:
        yield http


def test_settings(http, admin, installation):
    key_id, headers = admin
    wanted = {"queue": "heavy", "time_limit_seconds": 2.5, "latency_target_seconds": 0.5, "max_batch_rows": 64}
    told = http.patch("/v1/models/sums", headers=headers, json=wanted)
    assert told.status_code == 200
    assert wanted.items() <= told.json().items()
    again = http.patch("/v1/models/sums", headers=headers, json={"queue": None, "max_backlog": 7}).json()
    assert (again["queue"], again["max_backlog"], again["max_batch_rows"]) == (None, 7, 64)
    assert http.patch("/v1/models/sums", headers=headers, json={}).json() == again
    assert again.items() <= http.get("/v1/models/sums", headers=headers).json().items()
    first, second = logged(installation.store)
    assert (first[0], first[1]["by"]) == ("settings_changed", f"key {key_id}")
    assert second[1]["before"] == {"queue": "heavy", "max_backlog": None}
    assert second[1]["after"] == {"queue": None, "max_backlog": 7}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"max_batch_rows": 0}, "/max_batch_rows"),
        ({"max_backlog": 2**31}, "/max_backlog"),
        ({"time_limit_seconds": 0}, "/time_limit_seconds"),
        ({"time_limit_seconds": "5"}, "/time_limit_seconds"),
        ({"latency_target_seconds": 1e9}, "/latency_target_seconds"),
        ({"queue": "a b"}, "/queue"),
        ({"time_limit": 5}, "/time_limit"),
        ([], ""),
    ],
)
def test_a_setting_that_no_model_can_have(http, admin, installation, body, field):
    before = installation.store.model("sums")
    problem = assert_problem(http.patch("/v1/models/sums", headers=admin[1], json=body), 422, "invalid-input")
    assert problem["errors"][0]["pointer"] == field
    assert installation.store.model("sums") == before


def test_aliases(http, admin, installation):
    key_id, headers = admin
    add_version(installation.store, "sums", matrix_signature())
    path = "/v1/models/sums/aliases/challenger"
    told = [http.put(path, headers=headers, json={"version": version}).json() for version in (1, "champion", 2)]
    assert [(each["previous_version"], each["version"]) for each in told] == [(None, 1), (1, 2), (2, 2)]
    assert http.get("/v1/models/sums/versions/challenger", headers=headers).json()["version"] == 2
    assert http.delete(path, headers=headers).status_code == 204
    assert_problem(http.delete(path, headers=headers), 404, "unknown-version")
    assert_problem(http.delete("/v1/models/sums/aliases/champion", headers=headers), 422, "invalid-input")
    assert_problem(http.put(path, headers=headers, json={"version": 9}), 404, "unknown-version")
    for body in ({"version": 0}, {"version": None}, {"version": True}, {}):
        assert_problem(http.put(path, headers=headers, json=body), 422, "invalid-input")
    assert_problem(http.put(f"{path}%20", headers=headers, json={"version": 1}), 422, "invalid-input")
    assert installation.store.aliases("sums") == {"champion": 2}
    assert [event for event, _ in logged(installation.store)] == ["alias_moved", "alias_moved", "alias_removed"]
    assert {fields["by"] for _, fields in logged(installation.store)} == {f"key {key_id}"}


def test_who_may_not(http, installation):
    """Every scope but admin, and an admin of other models."""
    others = [scope for scope in KeyScope if scope is not KeyScope.ADMIN]
    _, weak = key_of(installation.store, *others)
    _, elsewhere = key_of(installation.store, models=["peo*"])
    for method, tail, body in CHANGES:
        for model in ("sums", "nobody"):
            path = f"/v1/models/{model}{tail}"
            assert_problem(http.request(method, path, headers=weak, json=body), 403, "forbidden")
            assert_problem(http.request(method, path, headers=elsewhere, json=body), 404, "unknown-model")
            assert_problem(http.request(method, path, json=body), 401, "unauthorized")
    assert logged(installation.store) == []
    assert http.patch("/v1/models/people", headers=elsewhere, json={"max_backlog": 5}).status_code == 200


def test_to_sit_at_the_machine_is_not_enough(local_http, local):
    for method, tail, body in CHANGES:
        answer = local_http.request(method, f"/v1/models/sums{tail}", json=body)
        assert "key" in assert_problem(answer, 403, "forbidden")["detail"]
    assert logged(local.store) == []


@pytest.fixture
def reading(on_postgres):
    """The installation, with a role of the database that only reads."""
    url, role = make_url(on_postgres.settings.store), f"inferq_reader_{uuid4().hex[:12]}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
    as_reader = url.update_query_dict({"options": f"-c role={role}"}).render_as_string(hide_password=False)
    settings = on_postgres.settings.model_copy(update={"store_url": SecretStr(as_reader)})
    store = open_store(settings)
    with Client(settings, store=store) as client:
        yield Installation(client, store, settings)
    store.close()
    with engine.connect() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))
    engine.dispose()


def test_a_gateway_that_may_only_read_says_so(reading, on_postgres):
    _, headers = key_of(on_postgres.store)
    on_postgres.store.set_alias("sums", "challenger", 1)
    with ServedHere(reading) as http:
        for method, tail, body in CHANGES:
            answer = http.request(method, f"/v1/models/sums{tail}", headers=headers, json=body)
            assert "database" in assert_problem(answer, 403, "forbidden")["detail"]
    assert logged(on_postgres.store) == []


@pytest.mark.timeout(300)
def test_answers_to_administrators_are_as_described(tmp_path, local):
    """schemathesis with a key that may change all; nothing else uses this installation."""
    _, headers = key_of(local.store)
    with process_of(local.settings, tmp_path / "gateway.log") as gateway:
        url = str(gateway.http.base_url).rstrip("/")
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")]
        command += ["run", f"{url}/openapi.json", "--checks", "all", "--max-examples", "10", "--seed", "1"]
        command += ["--no-color", "--header", f"Authorization: {headers['Authorization']}"]
        command += ["--include-path-regex", r"^/v1/models/\{model\}(/aliases/\{alias\}|/rollout)?$"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path)
        assert ended.returncode == 0, ended.stdout[-8_000:] + ended.stderr
        assert int(re.search(r"(\d+) generated", ended.stdout)[1]) >= 50
    assert "request_failed" not in (tmp_path / "gateway.log").read_text()
    store = open_store(local.settings)
    assert "champion" in store.aliases("sums")
    store.close()
