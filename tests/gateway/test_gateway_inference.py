"""The Open Inference Protocol: a worker answers, and errors have the protocol's own form."""

import pytest
from served import ServedHere
from test_gateway_keys import bearing

from inferq.gateway.tensors import Tensor, rows_of, tensor_of
from inferq_core.columns import Column, Kind, Layout
from inferq_core.errors import InvalidInput
from inferq_core.signature import Signature
from inferq_core.states import Method

CITY = {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["Lima", "Bern"]}


def matrix(data, shape, datatype="FP64", name="input"):
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def infer(http, *inputs, model="sums", path="infer", **fields):
    return http.post(f"/v2/models/{model}/{path}", json={"inputs": list(inputs), **fields})


def assert_error(answer, status, *words):
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    assert answer.json().keys() == {"error"}
    for word in words:
        assert word in answer.json()["error"]


def test_the_server_and_its_models_say_what_they_are(live):
    assert live.get("/v2").json().keys() == {"name", "version", "extensions"}
    assert live.get("/v2/health/live").json() == {"live": True}
    assert live.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/sums/ready", "/v2/models/sums/versions/1/ready"):
        assert live.get(path).json() == {"name": "sums", "ready": True}
    sums = live.get("/v2/models/sums").json()
    assert live.get("/v2/models/sums/versions/champion").json() == sums
    assert (sums["name"], sums["versions"]) == ("sums", ["1"])
    assert sums["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 4]}]
    assert sums["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [-1]}]
    coasts = live.get("/v2/models/coasts").json()
    assert coasts["inputs"] == [{"name": "city", "datatype": "BYTES", "shape": [-1]}]
    assert {"name": "predict", "datatype": "INT64", "shape": [-1]} in coasts["outputs"]
    assert {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]} in coasts["outputs"]


@pytest.mark.parametrize(
    "tensor",
    [
        matrix([1, 2, 3, 4, 5, 6, 7, 8], [2, 4]),
        matrix([[1, 2, 3, 4], [5, 6, 7, 8]], [2, 4], "INT64", "anything"),
        matrix([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [2, 4], "FP32"),
    ],
    ids=["flat", "nested", "fp32"],
)
def test_a_matrix(live, tensor):
    told = infer(live, tensor, id="42", parameters={"unknown": True}).json()
    assert (told["model_name"], told["model_version"], told["id"]) == ("sums", "1", "42")
    [output] = told["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("predict", "FP64", [2])
    assert output["data"] == pytest.approx([10.0, 26.0])


def test_a_tensor_for_each_column_and_the_outputs_that_are_wanted(live):
    wanted = [{"name": "predict_proba"}, {"name": "predict", "parameters": {"binary_data": False}}]
    told = infer(live, CITY, model="coasts", path="versions/1/infer", outputs=wanted).json()
    proba, predicted = told["outputs"]
    assert (proba["name"], proba["shape"], proba["datatype"]) == ("predict_proba", [2, 2], "FP64")
    assert sum(proba["data"]) == pytest.approx(2)
    assert (predicted["shape"], predicted["datatype"], predicted["data"]) == ([2], "INT64", [1, 0])
    assert live.get(f"/v1/predictions/{told['id']}").json()["state"] == "succeeded"


def test_rows_that_make_the_model_raise(live):
    city = CITY | {"shape": [1, 1], "data": [["Atlantis"]]}
    assert_error(infer(live, city, model="coasts"), 422, "model_error", "Atlantis")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([], "inputs"),
        ([matrix([1, 2, 3], [1, 4])], "4 elements"),
        ([matrix([1, 2, 3], [1, 3])], "[rows, 4]"),
        ([matrix([1, 2, 3, 4], [4, 1])], "[rows, 4]"),
        ([matrix([1, 2, 3, 4], [-1, 4])], "shape"),
        ([matrix([1, 2, 3, 4], [])], "shape"),
        ([matrix([[1, 2, 3], 4], [1, 4])], "ragged"),
        ([matrix([1, 2, 3, "x"], [1, 4])], "elements of FP64, got str"),
        ([matrix([1, 2, 3, 4.5], [1, 4], "INT32")], "elements of INT32, got float"),
        ([matrix([1, 2, 3, 300], [1, 4], "INT8")], "INT8 (-128 to 127)"),
        ([matrix([1, 2, 3, None], [1, 4])], "column 3"),
        ([matrix(["a", "b", "c", "d"], [1, 4], "BYTES")], "got BYTES"),
        ([matrix([1, 2, 3, 4], [1, 4], "FP8")], "datatype"),
        ([matrix([1, 2, 3, 4], [10**12, 4])], "elements"),
        ([matrix([], [0, 4])], "no rows"),
        ([matrix([1, 2, 3, 4], [1, 4])] * 2, "one tensor, got 2"),
        ([{"name": "input"}], "shape"),
    ],
)
def test_tensors_that_do_not_fit(live, inputs, words):
    assert_error(infer(live, *inputs), 422, words)


def test_what_is_not_there(live):
    tensor = matrix([1, 2, 3, 4], [1, 4])
    assert_error(infer(live, tensor, model="nobody"), 404)
    assert_error(infer(live, tensor, path="versions/9/infer"), 404, "'9'")
    assert_error(infer(live, tensor, outputs=[{"name": "guess"}]), 422, "guess", "predict")
    assert_error(infer(live, CITY, CITY, model="coasts"), 422, "'city', each once")
    assert_error(live.get("/v2/models/nobody"), 404)
    assert_error(live.get("/v2/models/nobody/ready"), 404)
    assert_error(live.get("/v2/nowhere"), 404)
    assert_error(live.delete("/v2"), 405)
    broken = live.post("/v2/models/sums/infer", content=b"{", headers={"content-type": "application/json"})
    assert_error(broken, 400)


def test_nobody_answers_in_time(local):
    """The gateway of `local` waits for no longer than five seconds, and no worker is there."""
    with ServedHere(local) as http:
        assert_error(infer(http, matrix([1, 2, 3, 4], [1, 4])), 504, "cancelled")
    [job] = local.store.newest().jobs
    assert job.state in ("cancelled", "expired")


def test_keys(local):
    key = bearing(local.store, models=["people"])
    with ServedHere(local) as http:
        assert http.get("/v2").status_code == 200
        assert http.get("/v2/health/ready").status_code == 200
        assert_error(http.get("/v2/models/people"), 401)
        assert_error(infer(http, matrix([1, 2, 3, 4], [1, 4])), 401)
        assert http.get("/v2/models/people", headers=key).status_code == 200
        assert_error(http.get("/v2/models/sums", headers=key), 404)


def test_columns_of_every_kind():
    columns = (
        Column("age", Kind.NUMERIC, "float64", nullable=True),
        Column("member", Kind.NUMERIC, "bool"),
        Column("plan", Kind.CATEGORICAL, "category", categories=("basic", "pro")),
    )
    signature = Signature(layout=Layout.FRAME, columns=columns, methods=(Method.PREDICT,))
    tensors = [
        Tensor("plan", "BYTES", [2], ["pro", "basic"]),
        Tensor("age", "FP32", [2, 1], [[1.5], [None]]),
        Tensor("member", "BOOL", [2], [True, False]),
    ]
    assert rows_of(signature, tensors) == [[1.5, True, "pro"], [None, False, "basic"]]
    with pytest.raises(InvalidInput, match=r"one length, got lengths \[1, 2\]"):
        rows_of(signature, [*tensors[:2], Tensor("member", "BOOL", [1], [True])])
    texts = Signature(layout=Layout.TEXTS, columns=(Column(None, Kind.TEXT, "str"),), methods=(Method.PREDICT,))
    assert rows_of(texts, [Tensor("x", "BYTES", [2, 1], ["a", "b"])]) == ["a", "b"]


@pytest.mark.parametrize(
    ("outputs", "datatype", "shape", "data"),
    [
        ([1, 2], "INT64", [2], [1, 2]),
        ([1, 2.5], "FP64", [2], [1, 2.5]),
        ([True, False], "BOOL", [2], [True, False]),
        (["a", "b"], "BYTES", [2], ["a", "b"]),
        ([[1.0, 2.0], [3.0, 4.0]], "FP64", [2, 2], [1.0, 2.0, 3.0, 4.0]),
        ([[1, 2], [3]], "BYTES", [2], ["[1,2]", "[3]"]),
        ([["a", 1]], "BYTES", [1], ['["a",1]']),
    ],
)
def test_outputs_as_tensors(outputs, datatype, shape, data):
    assert tensor_of("predict", outputs) == {"name": "predict", "datatype": datatype, "shape": shape, "data": data}
