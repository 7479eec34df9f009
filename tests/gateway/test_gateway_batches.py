"""Many rows in one body, on either store: what is accepted, told, taken back, and what goes wrong."""

import io
import json
import select as waiting
import socket

import pyarrow as pa
import pytest
from installation import ROW, in_thread, until
from pyarrow import parquet
from served import PATIENCE, ServedHere, assert_problem, bearing
from sqlalchemy import select

from inferq import State
from inferq.gateway import bodies
from inferq.gateway.reading import MAX_READINGS
from inferq_core.ids import JobId, new_job_id
from inferq_core.store.records import KeyScope
from inferq_core.store.tables import jobs

NDJSON = "application/x-ndjson"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"


def lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def rows_of(n):
    return [[number, 0, 0, 0] for number in range(n)]


def send(http, content, *, kind=NDJSON, model="sums", headers=None, **params):
    return http.post(
        f"/v1/models/{model}/batches",
        content=content,
        headers={"Content-Type": kind, **(headers or {})},
        params=params,
    )


def sent(http, content, **options):
    """The new batch."""
    answer = send(http, content, **options)
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert answer.headers["location"] == f"/v1/batches/{batch['id']}"
    return batch


def batch_of(http, batch_id, **options):
    return http.get(f"/v1/batches/{batch_id}", **options).json()


def results(http, batch_id, **params):
    answer = http.get(f"/v1/batches/{batch_id}/results", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (200, NDJSON)
    return [json.loads(line) for line in answer.text.splitlines()]


def inputs(installation, batch_id, n):
    ids = installation.store.upload(batch_id).upload.ids
    query = select(jobs.c.inputs).where(jobs.c.id.in_([ids.at(number) for number in range(n)])).order_by(jobs.c.id)
    texts = installation.store._database.read(lambda connection: connection.scalars(query).all())
    return [json.loads(text) for text in texts]


def test_each_row_is_a_prediction(installation, http):
    rows = rows_of(1_300)
    batch = sent(http, lines(rows), method="predict_proba", metadata='{"campaign": 12}', deadline_seconds=3600)
    asked = ("state", "accepted", "method", "priority", "metadata", "deadline_seconds", "format", "progress", "reason")
    assert [batch[name] for name in asked] == [
        "complete",
        1_300,
        "predict_proba",
        "bulk",
        {"campaign": 12},
        3600,
        "ndjson",
        0,
        None,
    ]
    assert batch["bytes_read"] == batch["bytes_total"] == len(lines(rows))
    assert inputs(installation, batch["id"], 1_300) == [[row] for row in rows]
    assert installation.depth() > 0
    told = results(http, batch["id"])
    assert [line["row"] for line in told] == list(range(1_300))
    assert {line["state"] for line in told} == {"queued"}
    one = http.get(f"/v1/predictions/{told[7]['id']}").json()
    assert (one["priority"], one["method"], one["rows"]) == ("bulk", "predict_proba", 1)


def test_it_tells_where_its_rows_are(installation, http):
    batch = sent(http, lines(rows_of(5)))
    ids = [JobId(line["id"]) for line in results(http, batch["id"])]
    client = installation.client
    installation.finish(client.job(ids[0]), client.job(ids[3]))
    installation.finish(client.job(ids[1]), state=State.FAILED, outputs=None)
    until(lambda: batch_of(http, batch["id"])["ended"] == 3)
    now = batch_of(http, batch["id"])
    assert now["counts"] == {"queued": 2, "running": 0, "succeeded": 2, "failed": 1, "expired": 0, "cancelled": 0}
    assert now["progress"] == pytest.approx(0.6)
    told = results(http, batch["id"], first=1)
    assert [(line["row"], line["state"], line["outputs"]) for line in told] == [
        (1, "failed", None),
        (2, "queued", None),
        (3, "succeeded", [7]),
        (4, "queued", None),
    ]
    assert told[0]["error"] == {"code": "model_error", "message": None}
    assert results(http, batch["id"], first=5) == []


def test_csv_and_parquet_go_by_the_names_of_columns(local, local_http):
    rows = [{"age": 41.0, "city": "Bern"}, {"age": None, "city": "Ulm"}]
    file = io.BytesIO()
    parquet.write_table(pa.table({"city": ["Bern", "Ulm"], "age": [41.0, None]}), file)
    for kind, content in ((CSV, b"city,age\nBern,41\nUlm,\n"), (PARQUET, file.getvalue()), (NDJSON, lines(rows))):
        batch = sent(local_http, content, kind=kind, model="people")
        assert [row["rows"] for row in inputs(local, batch["id"], 2)] == [[[41, "Bern"]], [[None, "Ulm"]]], kind


@pytest.mark.parametrize(
    ("kind", "content", "fault"),
    [
        (NDJSON, lines(rows_of(1_200)) + b'[1, 2, "x", 4]\n', {"line": 1_201, "column": "2", "got": "'x' (str)"}),
        (NDJSON, lines(rows_of(1_200)) + b"[1, 2\n", {"line": 1_201, "expected": "JSON"}),
        (CSV, b"1,2,3,4\n" * 1_200 + b"1,2,3\n", {"line": 1_201, "expected": "4 cells", "got": "3"}),
        (CSV, b"1,2,3,4\n" * 1_200 + b"1,2,3,x\n", {"line": 1_201, "column": "3", "got": "'x' (str)"}),
    ],
)
def test_a_row_that_does_not_fit_leaves_those_before_it(local, local_http, kind, content, fault):
    problem = assert_problem(send(local_http, content + b"1,2,3,4\n", kind=kind), 422, "invalid-input")
    assert problem["errors"][0].items() >= fault.items()
    assert problem["accepted"] == 1_200
    batch = batch_of(local_http, problem["batch"])
    assert (batch["state"], batch["accepted"], batch["reason"]) == ("incomplete", 1_200, problem["detail"])
    assert local.store.newest(limit=1_300).jobs[-1].n_rows == 1
    assert len(results(local_http, problem["batch"])) == 1_200


def test_of_a_body_without_a_row_nothing_is_left(local, local_http):
    for kind, content in (
        (NDJSON, b""),
        (NDJSON, b"\n\n"),
        (NDJSON, b"[1, 2]\n"),
        (CSV, b"a,b,c,d\n"),
        (CSV, b"1,2,3,\xff\n"),
        (PARQUET, b"PAR1 is no file"),
        (PARQUET, b""),
    ):
        problem = assert_problem(send(local_http, content, kind=kind), 422, "invalid-input")
        assert problem.keys() & {"batch", "accepted"} == set()
    assert local_http.get("/v1/batches").json() == {"batches": [], "next_cursor": None}
    assert local.store.newest().jobs == ()


def test_what_it_does_not_take(local_http):
    assert_problem(send(local_http, b"[]", kind="application/json"), 415, "unsupported-media-type")
    assert_problem(send(local_http, lines([ROW]), headers={"Content-Encoding": "gzip"}), 415, "unsupported-media-type")
    assert_problem(send(local_http, lines([ROW]), model="nobody"), 404, "unknown-model")
    assert_problem(send(local_http, lines([ROW]), version="nobody"), 404, "unknown-version")
    for name, value in {
        "metadata": "[1]",
        "method": "guess",
        "priority": "soon",
        "deadline_seconds": -1,
        "what": 1,
    }.items():
        problem = assert_problem(send(local_http, lines([ROW]), **{name: value}), 422, "invalid-input")
        assert problem["errors"][0]["parameter"] == name
    assert_problem(local_http.get("/v1/batches/what"), 404, "unknown-batch")
    assert_problem(local_http.post(f"/v1/batches/{new_job_id()}/cancel"), 404, "unknown-batch")


def test_bodies_have_their_own_bound(local):
    local.settings = local.settings.model_copy(update={"max_batch_body_bytes": 30_000})
    with ServedHere(local) as http:
        assert sent(http, lines(rows_of(1_700)))["accepted"] == 1_700  # more than INFERQ_MAX_BODY_BYTES
        declared = assert_problem(send(http, lines(rows_of(2_500))), 413, "too-large")
        assert "batch" not in declared

        def pieces():
            yield lines(rows_of(1_700))
            until(lambda: len(http.get("/v1/batches").json()["batches"]) == 2)
            yield lines(rows_of(1_700))

        found = assert_problem(send(http, pieces()), 413, "too-large")
        assert "INFERQ_MAX_BATCH_BODY_BYTES" in found["detail"]
        assert batch_of(http, found["batch"])["state"] == "incomplete"


def test_a_row_without_end_is_refused(local):
    local.settings = local.settings.model_copy(update={"max_job_bytes": 100_000})
    with ServedHere(local) as http:
        for content in (b"[" + b"1," * 300_000, b"\n" * 600_000, b'"' + b"1,2\n" * 150_000):
            for kind in (NDJSON, CSV):
                assert_problem(send(http, content, kind=kind), 422, "invalid-input")


class Slow:
    """A connection that sends a body piece by piece."""

    def __init__(self, http, *, length=1_000_000, headers=None):
        self.socket = socket.create_connection((http.base_url.host, http.base_url.port), timeout=PATIENCE)
        head = {"Host": http.base_url.host, "Content-Type": NDJSON, "Content-Length": str(length), **(headers or {})}
        text = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self.socket.sendall(f"POST /v1/models/sums/batches HTTP/1.1\r\n{text}\r\n".encode())

    def send(self, content):
        self.socket.sendall(content)

    def close(self):
        self.socket.close()


def has_answer(connection):
    readable, _, _ = waiting.select([connection], [], [], 0)
    return bool(readable)


def the_batch(http, **options):
    """The only one, once it is there."""
    until(lambda: http.get("/v1/batches", **options).json()["batches"])
    [batch] = http.get("/v1/batches", **options).json()["batches"]
    return batch


def test_it_is_seen_while_it_is_being_read_and_may_break_off(local, local_http):
    connection = Slow(local_http)
    connection.send(lines(rows_of(1_500)))
    batch = the_batch(local_http)
    assert (batch["state"], batch["bytes_total"], batch["read_at"]) == ("reading", 1_000_000, None)
    until(lambda: batch_of(local_http, batch["id"])["accepted"] >= 1_000)
    connection.send(b"[1, 2, 3,")
    connection.close()
    until(lambda: batch_of(local_http, batch["id"])["state"] == "incomplete")
    now = batch_of(local_http, batch["id"])
    assert now["reason"] == "the connection ended before the body did"
    assert 1_000 <= now["accepted"] <= 1_500
    assert len(results(local_http, batch["id"])) == now["accepted"] == now["counts"]["queued"]
    assert sum(page_sizes(local_http)) == now["accepted"]


def page_sizes(http):
    """Of the list of predictions."""
    cursor = None
    while True:
        page = http.get(
            "/v1/predictions", params={"limit": 200} | ({} if cursor is None else {"cursor": cursor})
        ).json()
        yield len(page["predictions"])
        cursor = page["next_cursor"]
        if cursor is None:
            return


def test_a_key_goes_on_where_it_broke_off(installation, http):
    key = {"Idempotency-Key": '"monday"'}
    rows = rows_of(1_500)
    broken = assert_problem(send(http, lines(rows[:1_100]) + b"[]", headers=key), 422, "invalid-input")
    assert broken["accepted"] == 1_100
    for other in (rows[1:], rows[:900], [[9, 9, 9, 9], *rows[1:]]):
        assert_problem(send(http, lines(other), headers=key), 422, "idempotency-key-reused")
    assert_problem(send(http, lines(rows), headers=key, method="predict_proba"), 422, "idempotency-key-reused")
    batch = sent(http, lines(rows), headers=key, priority="interactive")
    assert {item["priority"] for item in http.get("/v1/predictions").json()["predictions"]} == {"bulk"}
    assert (batch["id"], batch["state"], batch["accepted"]) == (broken["batch"], "complete", 1_500)
    assert inputs(installation, batch["id"], 1_500) == [[row] for row in rows]
    assert sent(http, lines(rows), headers=key)["id"] == batch["id"]
    assert_problem(send(http, lines([*rows, ROW]), headers=key), 422, "idempotency-key-reused")
    assert sum(page_sizes(http)) == 1_500


def test_another_request_takes_over_from_one_that_hangs(local, local_http):
    key = {"Idempotency-Key": '"monday"'}
    hanging = Slow(local_http, headers=key)
    hanging.send(lines(rows_of(1_200)))
    batch = the_batch(local_http)
    assert sent(local_http, lines(rows_of(2_000)), headers=key)["id"] == batch["id"]
    hanging.send(lines(rows_of(2_000)[1_200:]))
    until(lambda: b"409" in hanging.socket.recv(200))
    hanging.close()
    now = batch_of(local_http, batch["id"])
    assert (now["state"], now["accepted"]) == ("complete", 2_000)


def test_no_room_for_long_is_429_and_may_be_gone_on_with(local):
    local.store.put_model("sums", max_backlog=100)
    local.settings = local.settings.model_copy(update={"max_wait": 0.3})
    key = {"Idempotency-Key": '"monday"'}
    with ServedHere(local) as http:
        full = assert_problem(send(http, lines(rows_of(300)), headers=key), 429, "backlog-full")
        assert full["accepted"] == 100
        assert batch_of(http, full["batch"])["state"] == "incomplete"
        http.post(f"/v1/batches/{full['batch']}/cancel")
        assert_problem(send(http, lines(rows_of(300)), headers=key), 409, "batch-ended")


def test_the_body_waits_for_room(local):
    local.store.put_model("sums", max_backlog=1_000)
    with ServedHere(local) as http:
        answer = in_thread(lambda: sent(http, lines(rows_of(1_300))))
        batch = the_batch(http)
        done = set()

        def work():
            ids = [row.id for row in local.store.newest(limit=1_300).jobs if row.id not in done]
            if ids:
                local.finish(*map(local.client.job, ids))
                done.update(ids)
            return len(done) == 1_300

        until(work)
        assert answer()["id"] == batch["id"]
        until(lambda: batch_of(http, batch["id"])["progress"] == 1)


def test_cancelling_ends_what_has_not_ended(installation, http):
    batch = sent(http, lines(rows_of(1_200)))
    ids = [JobId(line["id"]) for line in results(http, batch["id"])]
    installation.finish(*map(installation.client.job, ids[:3]))
    now = http.post(f"/v1/batches/{batch['id']}/cancel").json()
    assert (now["state"], now["ended"], now["progress"]) == ("cancelled", 1_200, 1)
    assert (now["counts"]["succeeded"], now["counts"]["cancelled"]) == (3, 1_197)
    assert {line["error"]["code"] for line in results(http, batch["id"], first=3)} == {"cancelled"}
    done = sent(http, lines(rows_of(2)))
    done_ids = [JobId(line["id"]) for line in results(http, done["id"])]
    installation.finish(*map(installation.client.job, done_ids))
    assert http.post(f"/v1/batches/{done['id']}/cancel").json()["state"] == "complete"


def test_cancelling_stops_the_reading(local_http):
    connection = Slow(local_http)
    connection.send(lines(rows_of(1_200)))
    batch = the_batch(local_http)
    assert local_http.post(f"/v1/batches/{batch['id']}/cancel").json()["state"] == "cancelled"
    connection.send(lines(rows_of(3_000)))
    assert b"409" in connection.socket.recv(200)
    connection.close()
    now = batch_of(local_http, batch["id"])
    assert (now["state"], now["counts"]["cancelled"]) == ("cancelled", now["accepted"])


def test_a_body_that_comes_no_further_times_out(local_http, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    connection = Slow(local_http)
    connection.send(lines(rows_of(1_200)))
    assert b"408" in connection.socket.recv(200)
    connection.close()
    batch = the_batch(local_http)
    assert batch["state"] == "incomplete"
    assert "0.2 s" in batch["reason"]


def test_whoever_still_sends_gets_the_answer_all_the_same(local_http):
    connection = Slow(local_http, length=30_000_000)
    connection.send(b"[1]\n" * 1_000)
    until(lambda: has_answer(connection.socket))
    connection.send(b"x" * 20_000_000)  # raises when the connection is gone
    assert connection.socket.recv(12) == b"HTTP/1.1 422"
    connection.close()


def test_only_some_are_read_at_a_time(local_http):
    connections = [Slow(local_http) for _ in range(MAX_READINGS)]
    for connection in connections:
        connection.send(lines(rows_of(1_000)))
    until(lambda: len(local_http.get("/v1/batches").json()["batches"]) == MAX_READINGS)
    busy = send(local_http, lines([ROW]))
    assert_problem(busy, 503, "unavailable")
    assert busy.headers["retry-after"]
    for connection in connections:
        connection.close()
    until(lambda: send(local_http, lines([ROW])).status_code == 202)


def test_lists_go_by_cursor(local, local_http):
    made = [sent(local_http, lines([ROW]))["id"] for _ in range(5)]
    other = sent(local_http, lines([{"age": 1, "city": "Ulm"}]), model="people")["id"]
    page = local_http.get("/v1/batches", params={"limit": 3}).json()
    assert [item["id"] for item in page["batches"]] == [other, *made[:2:-1]]
    rest = local_http.get("/v1/batches", params={"limit": 5, "cursor": page["next_cursor"]}).json()
    assert ([item["id"] for item in rest["batches"]], rest["next_cursor"]) == (made[2::-1], None)
    [only] = local_http.get("/v1/batches", params={"model": "people"}).json()["batches"]
    assert only["id"] == other


def test_a_key_sees_its_own_batches_only(installation):
    store = installation.store
    mine, theirs, reader = (bearing(store, scope) for scope in (KeyScope.SUBMIT, KeyScope.SUBMIT, KeyScope.READ))
    people = bearing(store, KeyScope.ADMIN, models=["people"])
    with ServedHere(installation) as http:
        key = {"Idempotency-Key": '"same"'}
        batch = sent(http, lines(rows_of(3)), headers=mine | key)
        assert sent(http, lines(rows_of(2)), headers=theirs | key)["id"] != batch["id"]
        path = f"/v1/batches/{batch['id']}"
        for headers in (theirs, people):
            assert_problem(http.get(path, headers=headers), 404, "unknown-batch")
            assert_problem(http.get(f"{path}/results", headers=headers), 404, "unknown-batch")
            assert_problem(http.post(f"{path}/cancel", headers=headers), 404, "unknown-batch")
            assert batch["id"] not in http.get("/v1/batches", headers=headers).text
        assert [item["id"] for item in http.get("/v1/batches", headers=mine).json()["batches"]] == [batch["id"]]
        assert len(http.get("/v1/batches", headers=reader).json()["batches"]) == 2
        assert http.get(f"{path}/results", headers=reader).text.count("\n") == 3
        assert_problem(http.post(f"{path}/cancel", headers=reader), 403, "forbidden")
        assert_problem(send(http, lines([ROW]), headers=reader), 403, "forbidden")
        assert http.get(path, headers=mine).json()["owner"] == mine["Authorization"].split("_")[1]
        one = next(json.loads(line) for line in http.get(f"{path}/results", headers=mine).text.splitlines())
        assert http.get(f"/v1/predictions/{one['id']}", headers=mine).status_code == 200
        assert http.get(f"/v1/predictions/{one['id']}", headers=theirs).status_code == 404
