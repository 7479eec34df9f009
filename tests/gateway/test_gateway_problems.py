"""What goes wrong over HTTP: a documented 4xx for whatever comes, never a 5xx, and nothing stored."""

import json
import socket

import pytest
from installation import ROW
from served import PATIENCE, ServedHere, accepted, assert_problem, enqueue
from sqlalchemy import create_engine, make_url, text

from inferq import InferqError, load_settings
from inferq.gateway import bodies, protocol
from inferq.gateway.access import is_local
from inferq.gateway.problems import Kind
from inferq_core.store.records import WorkerBeat
from inferq_workers import health

PATH = "/v1/models/sums/predictions"


def post(http, content, content_type="application/json", **headers):
    return http.post(PATH, content=content, headers={"content-type": content_type, **headers})


def raw(http, *pieces):
    """What a gateway answers to these bytes, up to the end of the connection."""
    with socket.create_connection((http.base_url.host, http.base_url.port), timeout=PATIENCE) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("content", "status", "slug"),
    [
        (b"", 400, "invalid-json"),
        (b"{", 400, "invalid-json"),
        (b'{"inputs":[[1,2,3,NaN]]}', 400, "invalid-json"),
        (b'{"inputs":[[1,2,3,Infinity]]}', 400, "invalid-json"),
        (b'{"inputs":[[1,2,3,1e309]]}', 400, "invalid-json"),
        (b'{"inputs":[["\xff\xfe",2,3,4]]}', 400, "invalid-json"),
        (b'{"inputs":[["\\ud800",2,3,4]]}', 400, "invalid-json"),
        (b'{"inputs":' + b"[" * 9_000 + b"]" * 9_000 + b"}", 400, "invalid-json"),
        (b"null", 422, "invalid-input"),
        (b"[[1,2,3,4]]", 422, "invalid-input"),
        (b"{}", 422, "invalid-input"),
        (b'{"inputs":[]}', 422, "invalid-input"),
        (b'{"inputs":[[]]}', 422, "invalid-input"),
        (b'{"inputs":[1,2,3,4]}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4],null]}', 422, "invalid-input"),
        (b'{"inputs":{"a":[1]}}', 422, "invalid-input"),
        (b'{"inputs":["text"]}', 422, "invalid-input"),
        (b'{"inputs":[{"a":1}]}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,[4]]]}', 422, "invalid-input"),
        (b'{"inputs":[' + b"[" * 500 + b"1" + b"]" * 500 + b"]}", 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4],[1,2,3]]}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,null]]}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,"\\u0000"]]}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4]],"colour":"red"}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4]],"metadata":{"a":' + b"[" * 600 + b"]" * 600 + b"}}", 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4]],"metadata":{"a":"' + b"x" * 17_000 + b'"}}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4]],"version":99999999999999999999}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4]],"version":"a\\u0000b"}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4]],"version":7}', 404, "unknown-version"),
        (b'{"inputs":[[1,2,3,4]],"deadline_seconds":0}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4]],"deadline_seconds":"5"}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4]],"routing_key":"\\u0000"}', 422, "invalid-input"),
        (b'{"inputs":[[1,2,3,4]],"method":"transform"}', 422, "invalid-input"),
        (b'{"inputs":[' + b"[1,2,3,4]," * 2_000 + b"[1,2,3,4]]}", 413, "too-large"),
    ],
)
def test_hostile_bodies(local_http, content, status, slug):
    assert_problem(post(local_http, content), status, slug)
    assert local_http.get("/v1/predictions").json()["predictions"] == []


def test_the_largest_number_is_a_number(local_http):
    assert post(local_http, b'{"inputs":[[1,2,3,1e308]],"deadline_seconds":1e308}').status_code == 202


@pytest.mark.parametrize(
    ("fields", "pointer", "expected", "got"),
    [
        ({"inputs": [ROW, [1, 2, "three", 4]]}, "/inputs/1/2", "a number", "'three' (str)"),
        ({"inputs": [[1, 2, 3]]}, "/inputs/0", "4 features", "3"),
        ({"inputs": [7]}, "/inputs/0", "an array, an object or a text for each row", "7"),
        ({"inputs": [ROW], "priority": "urgent"}, "/priority", "'interactive', 'normal' or 'bulk'", "'urgent'"),
        ({"inputs": [ROW], "version": True}, "/version", "a number from 1, or an alias", "true"),
        ({"inputs": [ROW], "a/b": 1}, "/a~1b", "no such field", "1"),
        ({}, "/inputs", "a value", "nothing"),
    ],
)
def test_the_field_is_named_with_what_it_takes_and_what_came(local_http, fields, pointer, expected, got):
    problem = assert_problem(local_http.post(PATH, json=fields), 422, "invalid-input")
    (fault,) = problem["errors"]
    assert (fault["pointer"], fault["expected"], fault["got"]) == (pointer, expected, got)


def test_a_column_is_named(local_http):
    problem = assert_problem(enqueue(local_http, [{"age": "old", "city": "Ulm"}], model="people"), 422, "invalid-input")
    assert problem["errors"][0]["pointer"] == "/inputs/0/age"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=utf-16"]
)
def test_another_type_of_body(local_http, content_type):
    assert_problem(post(local_http, b'{"inputs":[[1,2,3,4]]}', content_type), 415, "unsupported-media-type")


def test_json_by_its_other_spellings(local_http):
    for content_type in ("application/json; charset=utf-8", "Application/JSON"):
        assert post(local_http, b'{"inputs":[[1,2,3,4]]}', content_type).status_code == 202
    compressed = post(local_http, b"x", **{"content-encoding": "gzip"})
    assert_problem(compressed, 415, "unsupported-media-type")


def test_a_body_without_a_length_is_cut_off_where_it_is_too_large(local_http):
    drawn = []

    def endless():
        while True:
            drawn.append(1)
            yield b"[1,2,3,4]," * 100

    problem = assert_problem(post(local_http, endless()), 413, "too-large")
    assert "20000 bytes" in problem["detail"]
    assert len(drawn) < 100_000


def test_a_body_that_never_ends_in_time(local_http, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    status, problem = raw(local_http, head % PATH.encode(), b'{"inputs"')
    assert (status, problem["type"]) == (408, "urn:inferq:problem:body-timeout")


def test_headers_that_never_end_in_time(local_http, monkeypatch):
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.2)
    status, problem = raw(local_http, b"GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n")
    assert (status, problem["type"]) == (408, "urn:inferq:problem:body-timeout")


@pytest.mark.parametrize(
    "headers",
    [[b"x-%d: y" % number for number in range(200)], [b"x: " + b"y" * 70_000], [b"cookie: " + b"z" * 40_000] * 2],
    ids=["many", "long", "both"],
)
def test_floods_of_headers(local_http, headers):
    status, problem = raw(
        local_http, b"\r\n".join([b"GET /v1/health/live HTTP/1.1", b"Host: localhost", *headers, b"\r\n"])
    )
    assert (status, problem["type"]) == (431, "urn:inferq:problem:headers-too-large")
    status, problem = raw(local_http, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n")
    assert status == 431


def test_what_is_not_http(local_http):
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        status, problem = raw(local_http, nonsense)
        assert (status, problem["type"]) == (400, "urn:inferq:problem:invalid-header")


@pytest.mark.parametrize("key", ["", '"unfinished', "a b", "x" * 201, "é", "retry:1", '""'])
def test_a_key_that_can_be_none(local_http, key):
    answer = enqueue(local_http, headers={"Idempotency-Key": key.encode()})
    problem = assert_problem(answer, 400, "invalid-header")
    assert problem["errors"][0]["parameter"] == "Idempotency-Key"


@pytest.mark.parametrize("model", ["nobody", "%00", "%ff", "a" * 3000, "sums%20"])
def test_no_such_model(local_http, model):
    answer = local_http.post(f"/v1/models/{model}/predictions", json={"inputs": [ROW]})
    assert_problem(answer, 404, "unknown-model")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/predictions/", "/docs", "/v3", "/v1/models/a/b/predictions"])
def test_no_such_path(local_http, path):
    assert_problem(local_http.get(path), 404, "not-found")


def test_another_method(local_http):
    answer = local_http.request("BREW", "/v1/predictions")
    assert answer.status_code in (400, 405)
    answer = local_http.delete(PATH)
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("actual", [b"[" * 600 + b"]" * 600, b"1e999", b"nothing"])
def test_truth_that_cannot_be_kept(local_http, actual):
    path = f"/v1/predictions/{accepted(local_http)}/feedback"
    answer = local_http.put(path, content=b'{"actual":' + actual + b"}", headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert_problem(answer, answer.status_code, "invalid-json" if answer.status_code == 400 else "invalid-input")
    assert_problem(local_http.put(path, json={}), 422, "invalid-input")


def test_a_full_backlog(local_http, local):
    local.store.put_model("sums", max_backlog=2)
    accepted(local_http, rows=[ROW, ROW])
    answer = enqueue(local_http)
    problem = assert_problem(answer, 429, "backlog-full")
    # Nobody serves the queue: no time is invented.
    assert problem["retry_after_seconds"] is None
    assert "retry-after" not in answer.headers
    assert len(local_http.get("/v1/predictions").json()["predictions"]) == 1


def test_what_workers_learned_tells_when_to_come_again(local_http, local):
    local.store.put_model("sums", max_backlog=2)
    costs = {"sums": (1.0, 0.5)}  # seconds a batch, and a row
    local.store.beat(WorkerBeat("worker-1", "host", 1, [local.settings.queue], 1, {}, {}, costs=costs), min_interval=0)
    told = enqueue(local_http, [ROW, ROW]).json()
    assert told["eta_seconds"] == pytest.approx(2.0)
    assert local_http.get(f"/v1/predictions/{told['id']}").json()["eta_seconds"] == pytest.approx(2.0)
    answer = enqueue(local_http)
    problem = assert_problem(answer, 429, "backlog-full")
    assert problem["retry_after_seconds"] == pytest.approx(1.0)
    assert answer.headers["retry-after"] == "1"


def test_every_answer_has_its_id_and_keeps_itself_to_itself(local_http):
    for path in ("/v1/health/live", "/v1/predictions", "/nowhere", "/openapi.json"):
        answer = local_http.get(path, headers={"X-Request-ID": "abc-123"})
        assert answer.headers["x-request-id"] == "abc-123"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    problem = local_http.get("/nowhere", headers={"X-Request-ID": "abc-123"}).json()
    assert problem["request_id"] == "abc-123"
    made = {local_http.get("/v1/health/live", headers=headers).headers["x-request-id"] for headers in ({}, {})}
    made.add(local_http.get("/v1/health/live", headers={"X-Request-ID": "a b\tc"}).headers["x-request-id"])
    assert len(made) == 3
    assert all(len(value) == 32 for value in made)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("127.0.0.1:80", True),
        ("127.9.9.9", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("", False),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("192.168.0.1:8000", False),
        ("127.0.0.1.evil.example", False),
        ("[::1", False),
    ],
)
def test_without_keys_only_this_machine_is_spoken_to(host, local):
    assert is_local(host) is local


def test_a_page_that_took_over_a_name_gets_nothing(local_http):
    assert_problem(local_http.get("/v1/predictions", headers={"Host": "evil.example"}), 421, "wrong-host")


def test_the_store_is_away(on_postgres, caplog):
    url = make_url(on_postgres.settings.store)
    with ServedHere(on_postgres) as http:
        job_id = accepted(http)
        engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {url.database} WITH (FORCE)"))
        for answer in (enqueue(http), http.get(f"/v1/predictions/{job_id}"), http.get("/v1/health/ready")):
            problem = assert_problem(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "5"
            assert url.database not in answer.text
            assert problem["request_id"] == answer.headers["x-request-id"]
            logged = [each.request_id for each in caplog.records if each.getMessage() == "store_unavailable"]
            assert problem["request_id"] in logged
        assert http.get("/v1/health/live").json() == {"status": "ok"}
        with pytest.raises(InferqError, match="answers with 503"):
            health.gateway(load_settings(gateway_port=http.base_url.port))


def test_problems_have_names_of_their_own():
    assert len({kind.slug for kind in Kind}) == len(Kind)
    assert all(400 <= kind.status < 600 for kind in Kind)
