"""Triton's own HTTP clients, unchanged, against `inferq gateway` with a worker behind it."""

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from more_models import add_more_models
from test_gateway_inference import assert_error
from tritonclient.utils import InferenceServerException

PAGE = (Path(__file__).parents[2] / "docs" / "oip.md").read_text()
ROWS = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [-1.0, 0.5, 1e6, -1e6]])
CITIES = np.array([["Lima"], ["Bern"], ["Oslo"]], dtype=object)
BINARY = pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])


@pytest.fixture(scope="module")
def url(live, worked):
    add_more_models(worked)
    return f"{live.base_url.host}:{live.base_url.port}"


@pytest.fixture
def client(url):
    with triton.InferenceServerClient(url, network_timeout=60.0) as client:
        yield client


def given(name, data, datatype, *, binary, module=triton):
    tensor = module.InferInput(name, list(data.shape), datatype)
    return tensor.set_data_from_numpy(data, binary_data=binary)


def wanted(*names, binary):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def test_what_it_learns_of_server_and_model(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("sums")
    assert client.is_model_ready("sums", "1")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("sums", "9")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    told = client.get_model_metadata("coasts", "1")
    assert (told["name"], told["versions"], told["platform"]) == ("coasts", ["1"], "sklearn")
    assert told["inputs"] == [{"name": "city", "datatype": "BYTES", "shape": [-1]}]


@BINARY
@pytest.mark.parametrize(("datatype", "dtype"), [("FP64", np.float64), ("FP32", np.float32), ("INT32", np.int32)])
def test_a_matrix(client, binary, datatype, dtype):
    data = ROWS.astype(dtype)
    told = client.infer(
        "sums",
        [given("input", data, datatype, binary=binary)],
        outputs=wanted("predict", binary=binary),
        request_id="mine",
    )
    assert told.as_numpy("predict") == pytest.approx(data.astype(float).sum(axis=1))
    document = told.get_response()
    assert (document["id"], document["model_name"], document["model_version"]) == ("mine", "sums", "1")
    assert ("data" in told.get_output("predict")) is not binary


def test_what_it_does_by_default(client):
    """Bytes in, and without outputs named, bytes out."""
    told = client.infer("sums", [given("input", ROWS, "FP64", binary=True)])
    assert told.as_numpy("predict") == pytest.approx(ROWS.sum(axis=1))
    assert told.get_output("predict")["parameters"]["binary_data_size"] == 24


@BINARY
def test_texts_labels_and_probabilities(client, binary):
    told = client.infer(
        "coasts",
        [given("city", CITIES, "BYTES", binary=binary)],
        model_version="1",
        outputs=wanted("predict_proba", "predict", binary=binary),
    )
    assert told.as_numpy("predict").tolist() == [1, 0, 1]
    probabilities = told.as_numpy("predict_proba")
    assert probabilities.shape == (3, 2)
    assert probabilities.argmax(axis=1).tolist() == [1, 0, 1]
    assert probabilities.sum(axis=1) == pytest.approx(1)


@BINARY
def test_labels_that_are_texts(client, binary):
    rows = np.array([[0.0] * 4, [9.0] * 4])
    told = client.infer(
        "sizes", [given("input", rows, "FP64", binary=binary)], outputs=wanted("predict", binary=binary)
    )
    labels = [label.decode() if binary else label for label in told.as_numpy("predict")]
    assert labels == ["small", "große"]


@BINARY
def test_a_tensor_for_each_column(client, binary):
    width, height = np.array([1.0, 2.0]), np.array([3, 4])
    inputs = [given("height", height, "INT64", binary=binary), given("width", width, "FP64", binary=not binary)]
    assert client.infer("areas", inputs).as_numpy("predict") == pytest.approx(width + height)


def test_many_at_once(url):
    with triton.InferenceServerClient(url, concurrency=16, network_timeout=60.0) as client:
        rows = [np.array([[float(number), 0, 0, 0]]) for number in range(100)]
        asked = [client.async_infer("sums", [given("input", row, "FP64", binary=True)]) for row in rows]
        told = [each.get_result().as_numpy("predict")[0] for each in asked]
    assert told == pytest.approx(range(100), abs=1e-9)


def test_its_client_for_asyncio(url):
    async def ask(binary):
        async with triton_aio.InferenceServerClient(url) as client:
            told = await client.infer(
                "sums",
                [given("input", ROWS, "FP64", binary=binary, module=triton_aio)],
                outputs=[triton_aio.InferRequestedOutput("predict", binary_data=binary)],
            )
            return told.as_numpy("predict")

    for binary in (True, False):
        assert asyncio.run(ask(binary)) == pytest.approx(ROWS.sum(axis=1))


@pytest.mark.parametrize(
    ("model", "tensor", "status", "words"),
    [
        ("nobody", ("input", ROWS, "FP64"), "404", "no such model"),
        ("sums", ("input", ROWS[:, :3].copy(), "FP64"), "422", "shape [rows, 4]"),
        ("sums", ("input", CITIES, "BYTES"), "422", "got BYTES"),
        ("coasts", ("town", CITIES, "BYTES"), "422", "'city'"),
        ("coasts", ("city", np.array(["Atlantis"], dtype=object), "BYTES"), "422", "Atlantis"),
    ],
)
def test_errors_reach_it(client, model, tensor, status, words):
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, [given(*tensor, binary=True)])
    assert caught.value.status() == status
    assert words in caught.value.message()


def test_what_triton_has_and_inferq_has_not(client, live):
    with pytest.raises(InferenceServerException) as caught:
        client.get_model_config("sums")
    assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException, match="Content-Encoding") as caught:
        client.infer("sums", [given("input", ROWS, "FP64", binary=True)], request_compression_algorithm="gzip")
    assert caught.value.status() == "415"
    assert_error(live.post("/v2/repository/index"), 404)


def test_the_example_of_the_page(url, capsys):
    """The page's model is `digits`; the tests have one of four numbers called `sums`."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code.replace("digits", "sums").replace("127.0.0.1:8000", url), {})
    [told] = re.findall(r"[\d.]+", capsys.readouterr().out)
    assert float(told) == pytest.approx(18)
