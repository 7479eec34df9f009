"""The binary tensor data extension, byte by byte; and bodies that nobody should send."""

import json
import struct

import numpy as np
import pytest
from installation import Installation, in_thread, until
from more_models import add_more_models
from served import ServedHere
from test_gateway_inference import assert_error, infer, matrix

from inferq import Settings, State
from inferq_core.ids import new_batch_id
from inferq_core.states import ErrorCode
from inferq_core.store.records import BatchLog, Outcome

URL = "/v2/models/{}/infer"
LENGTH = "inference-header-content-length"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module", autouse=True)
def _more_models(worked):
    add_more_models(worked)


@pytest.fixture(scope="module")
def quiet_gateway(tmp_path_factory, broker_url):
    """An installation without a worker, and a client of its gateway."""
    home = tmp_path_factory.mktemp("quiet")
    settings = Settings(home=home, broker_url=broker_url, queue=f"gw-{home.name}", max_body_bytes=20_000, max_wait=5)
    installation = Installation.make(settings)
    with ServedHere(installation) as http:
        yield installation, http
    installation.close()


@pytest.fixture
def quiet(quiet_gateway):
    """A client of a gateway to which nothing may come through."""
    installation, http = quiet_gateway
    yield http
    assert not installation.store.newest().jobs


def texts(*elements):
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def tensor(shape, data, datatype="FP64", name="input"):
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(data)}}


def post(http, request, data=b"", model="sums", **headers):
    """The answer to a request whose tensors are the bytes `data`. A header that is None is not sent."""
    head = request if isinstance(request, bytes) else json.dumps(request).encode()
    sent = {LENGTH: str(len(head))} | {name.replace("_", "-"): value for name, value in headers.items()}
    return http.post(URL.format(model), content=head + data, headers={k: v for k, v in sent.items() if v is not None})


def read(answer):
    """The answer's JSON, and its bytes by the name of the output."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers[LENGTH])
    document, rest = json.loads(answer.content[:length]), answer.content[length:]
    pieces = {}
    for output in document["outputs"]:
        size = output["parameters"].get("binary_data_size")
        if size is not None:
            assert "data" not in output
            pieces[output["name"]], rest = rest[:size], rest[size:]
    assert rest == b""
    assert answer.headers["content-type"] == "application/octet-stream"
    return document, pieces


ROWS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [
        ("FP64", "<f8"),
        ("FP32", "<f4"),
        ("FP16", "<f2"),
        ("INT8", "<i1"),
        ("INT16", "<i2"),
        ("INT32", "<i4"),
        ("INT64", "<i8"),
        ("UINT8", "<u1"),
        ("UINT16", "<u2"),
        ("UINT32", "<u4"),
        ("UINT64", "<u8"),
    ],
)
def test_numbers_of_every_type(live, datatype, dtype):
    data = ROWS.astype(dtype).tobytes()
    asked = {"id": "é", "inputs": [tensor([2, 4], data, datatype)], "parameters": {"binary_data_output": True}}
    document, pieces = read(post(live, asked, data))
    assert (document["id"], document["model_name"], document["model_version"]) == ("é", "sums", "1")
    [output] = document["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("predict", "FP64", [2])
    assert np.frombuffer(pieces["predict"], "<f8") == pytest.approx([10, 26])
    told = live.get(f"/v1/predictions/{output['parameters']['prediction_id']}").json()
    assert (told["state"], told["priority"]) == ("succeeded", "interactive")


def test_booleans(live):
    data = bytes([1, 0, 1, 1])
    asked = {"inputs": [tensor([1, 4], data, "BOOL")]}
    assert post(live, asked, data).json()["outputs"][0]["data"] == pytest.approx([3])
    assert_error(post(live, asked, bytes([1, 0, 2, 1])), 422, "bytes 0 and 1")


def test_texts_in_and_each_output_as_it_was_asked_for(live):
    data = texts(b"Lima", b"Bern")
    asked = {
        "inputs": [tensor([2, 1], data, "BYTES", "city")],
        "outputs": [
            {"name": "predict_proba", "parameters": {"binary_data": True}},
            {"name": "predict", "parameters": {"binary_data": False}},
        ],
        "parameters": {"binary_data_output": True},
    }
    document, pieces = read(post(live, asked, data, model="coasts"))
    proba, predicted = document["outputs"]
    assert (proba["datatype"], proba["shape"]) == ("FP64", [2, 2])
    assert np.frombuffer(pieces["predict_proba"], "<f8").reshape(2, 2).sum(axis=1) == pytest.approx([1, 1])
    assert (predicted["datatype"], predicted["data"]) == ("INT64", [1, 0])


def inputs_of(installation, ask):
    """What is stored of the request that `ask` makes, which is then answered."""
    answer = in_thread(ask)
    until(lambda: installation.store.newest().jobs)
    [job] = installation.store.newest().jobs
    batch = new_batch_id()
    [claimed] = installation.store.claim(batch, [job.id], worker="test", lease=60).jobs
    outcomes = [Outcome(job.id, State.SUCCEEDED, "[7,8]", version=1, batch_rows=2)]
    installation.store.complete(batch, outcomes, BatchLog(1, 1, 0.0))
    assert answer().json()["outputs"][0]["data"] == [7, 8]
    return json.loads(claimed.inputs)


def test_json_and_bytes_side_by_side(installation, http):
    """`people` has a column of numbers, which may be missing, and one of texts."""
    data = texts("é".encode(), b"")
    age = {"name": "age", "shape": [2], "datatype": "FP64", "data": [1.5, None]}
    asked = {"inputs": [age, tensor([2], data, "BYTES", "city")]}
    stored = inputs_of(installation, lambda: post(http, asked, data, model="people"))
    assert stored == {"columns": ["age", "city"], "rows": [[1.5, "é"], [None, ""]]}


def test_missing_numbers_are_nan(installation, http):
    data = np.array([np.nan, 2.5], "<f4").tobytes()
    asked = {"inputs": [tensor([2], data, "FP32", "age"), matrix(["a", "b"], [2], "BYTES", "city")]}
    stored = inputs_of(installation, lambda: post(http, asked, data, model="people"))
    assert stored["rows"] == [[None, "a"], [2.5, "b"]]


@pytest.mark.parametrize(("newer", "status"), [(1, 200), (2, 503)])
def test_outputs_are_of_one_version(installation, http, newer, status):
    wanted = [{"name": "predict"}, {"name": "predict_proba"}]
    answer = in_thread(lambda: infer(http, matrix([1, 2, 3, 4], [1, 4]), outputs=wanted))
    until(lambda: len(installation.store.newest().jobs) == 2)
    batch = new_batch_id()
    ids = [job.id for job in installation.store.newest().jobs]
    first, second = installation.store.claim(batch, ids, worker="test", lease=60).jobs
    assert first.routing_hash == second.routing_hash
    outcomes = [
        Outcome(first.id, State.SUCCEEDED, "[7]", version=1),
        Outcome(second.id, State.SUCCEEDED, "[[1.0]]", version=newer),
    ]
    installation.store.complete(batch, outcomes, BatchLog(2, 2, 0.0))
    assert answer().status_code == status
    assert ("retry-after" in answer().headers) is (status == 503)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.MODEL_ERROR, 422),
        (ErrorCode.TIME_LIMIT, 504),
        (ErrorCode.WORKER_LOST, 500),
    ],
)
def test_what_failed(installation, http, code, status):
    answer = in_thread(lambda: infer(http, matrix([1, 2, 3, 4], [1, 4])))
    until(lambda: installation.store.newest().jobs)
    [job] = installation.store.newest().jobs
    installation.finish(job, state=State.FAILED, outputs=None, error_code=code, error_message="so it was")
    assert_error(answer(), status, f"{code}: so it was")


DATA = np.array([1.0, 2.0, 3.0, 4.0]).tobytes()
GOOD = {"inputs": [tensor([1, 4], DATA)]}


@pytest.mark.parametrize(
    "length",
    ["", "x", "-1", "1e2", "0x10", "+9", "99999", "9" * 400, "1, 2", "1.0"],
)
def test_header_lengths_that_are_none(quiet, length):
    assert_error(post(quiet, GOOD, DATA, inference_header_content_length=length), 400, "Content-Length")


@pytest.mark.parametrize(
    ("shape", "data", "datatype", "words"),
    [
        ([1, 4], DATA[:-1], "FP64", "expected 32 bytes"),
        ([1, 4], DATA + b"\0", "FP64", "expected 32 bytes"),
        ([1, 4], b"", "FP64", "expected 32 bytes"),
        ([2, 4], DATA, "FP64", "expected 64 bytes"),
        ([-1, 4], DATA, "FP64", "shape"),
        ([1 << 62, 4], DATA, "FP64", "expected"),
        ([1 << 63, 1 << 63], DATA, "FP64", "[rows, 4]"),
        ([0, 4], b"", "FP64", "no rows"),
        ([1] * 9, DATA, "FP64", "shape"),
        ([True, 4], DATA, "FP64", "shape"),
        ([1, 4], DATA, "BF16", "datatype"),
        ([1, 4], DATA, "fp64", "datatype"),
        ([1, 4], texts(b"1", b"2", b"3", b"4"), "BYTES", "got BYTES"),
        ([1, 4], np.array([1, 2, 3, np.nan]).tobytes(), "FP64", "row 0, column 3"),
        ([1, 4], np.array([1, 2, 3, np.inf]).tobytes(), "FP64", "row 0, column 3"),
    ],
)
def test_bytes_that_do_not_fit(quiet, shape, data, datatype, words):
    assert_error(post(quiet, {"inputs": [tensor(shape, data, datatype)]}, data), 422, words)


@pytest.mark.parametrize(
    ("count", "data", "words"),
    [
        (1, b"\1", "expected 1 elements of BYTES, got 0 and 1 bytes after"),
        (1, b"\5\0\0\0abc", "has 5 bytes, and 3 follow"),
        (1, b"\xff\xff\xff\xffabc", "has 4294967295 bytes"),
        (2, texts(b"a"), "expected 2 elements"),
        (1, texts(b"a", b"b"), "expected 1 elements"),
        (1 << 60, texts(b"a"), "elements of BYTES, got 1"),
        (1, texts(b"\xff"), "not UTF-8"),
    ],
)
def test_texts_that_are_none(quiet, count, data, words):
    inputs = [matrix([1.0], [1], name="age"), tensor([count], data, "BYTES", "city")]
    assert_error(post(quiet, {"inputs": inputs}, data, model="people"), 422, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": [1, 2, 3, 4]}, "got both"),
        ({"parameters": {}}, "expected 0 bytes after the JSON"),
        ({"parameters": {"binary_data_size": 31}}, "expected 31 bytes after the JSON"),
        ({"parameters": {"binary_data_size": (1 << 63) - 1}}, "after the JSON"),
        ({"parameters": {"binary_data_size": -1}}, "binary_data_size"),
        ({"parameters": {"binary_data_size": "32"}}, "binary_data_size"),
        ({"parameters": {"binary_data_size": 32.0}}, "binary_data_size"),
        ({"parameters": {"binary_data_size": True}}, "binary_data_size"),
        ({"parameters": []}, "parameters"),
    ],
)
def test_sizes_that_are_wrong(quiet, changes, words):
    assert_error(post(quiet, {"inputs": [tensor([1, 4], DATA) | changes]}, DATA), 422, words)


def test_tensors_that_are_not_there(quiet):
    tensor_without = {"name": "input", "shape": [1, 4], "datatype": "FP64"}
    assert_error(post(quiet, {"inputs": [tensor_without]}), 422, "got neither")
    alone = quiet.post(URL.format("sums"), json=GOOD)
    assert_error(alone, 422, "expected 32 bytes after the JSON", "got 0")
    assert_error(post(quiet, {"inputs": [tensor([1, 4], DATA)] * 2}, DATA), 422, "expected 64 bytes")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"null", 422),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"inputs": [NaN]}', 400),
        (b'{"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, 1e999]}]}', 400),
        (b'{"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, NaN]}]}', 400),
        (b'{"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 1e39]}]}', 422),
        (b'{"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP16", "data": [1, 2, 3, 65536]}]}', 422),
        (b'{"inputs": [{"name": "input", "shape": [1e99, 4], "datatype": "FP64", "data": [1]}]}', 422),
        (b'{"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP64", "data": [{}, [], 3, 4]}]}', 422),
        (b'{"inputs": [{"name": "\\ud800", "shape": [1, 4], "datatype": "FP64", "data": [1]}]}', 400),
        (b'{"inputs": ' + b"[" * 9_000 + b"]" * 9_000 + b"}", 400),
        (
            b'{"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP64", "data": '
            + b"[" * 900
            + b"]" * 900
            + b"}]}",
            422,
        ),
        (b" " * 20_001, 413),
    ],
)
def test_hostile_json(quiet, body, status):
    assert_error(quiet.post(URL.format("sums"), content=body, headers=JSON), status)
    assert_error(quiet.post(URL.format("sums"), content=body), status)


def test_bodies_that_are_too_large(quiet):
    assert_error(post(quiet, GOOD, DATA * 700), 413, "20000 bytes")

    def chunks():
        yield b"{"
        yield b" " * 30_000

    assert_error(quiet.post(URL.format("sums"), content=chunks(), headers={LENGTH: "2"}), 413)


def test_types_of_bodies(quiet):
    def sent(**headers):
        return post(quiet, {"inputs": []}, **headers)

    assert_error(sent(content_type="application/json"), 422)
    assert_error(sent(content_type="application/octet-stream"), 422)
    assert_error(sent(content_type="text/plain"), 415, "application/json or application/octet-stream")
    assert_error(sent(content_encoding="gzip"), 415, "identity")
    assert_error(sent(), 422)
    assert_error(sent(origin="http://page.example"), 415)


def test_one_matrix_for_a_model_of_named_numbers(live):
    data = np.array([[1.0, 2.0], [3.0, 5.0]])
    told = infer(live, matrix(data.tolist(), [2, 2], name="input-0"), model="areas").json()
    assert told["outputs"][0]["data"] == pytest.approx([3, 8])
    named = [matrix([1.0], [1], name="width"), matrix([2.0], [1], name="height")]
    assert infer(live, *named, model="areas").json()["outputs"][0]["data"] == pytest.approx([3])
    assert_error(infer(live, matrix([1.0], [1], name="width"), model="areas"), 422, "'width', 'height'")


def test_labels_as_texts(live):
    data = np.array([[0.0, 0, 0, 0], [9, 9, 9, 9]]).tobytes()
    asked = {"inputs": [tensor([2, 4], data)], "parameters": {"binary_data_output": True}}
    document, pieces = read(post(live, asked, data, model="sizes"))
    assert (document["outputs"][0]["datatype"], document["outputs"][0]["shape"]) == ("BYTES", [2])
    assert pieces["predict"] == texts(b"small", "große".encode())
