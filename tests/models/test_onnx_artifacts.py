"""A converted artifact that was changed, forged or put elsewhere is not run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from inferq_core.errors import ArtifactRejected
from inferq_core.store.records import Runtime
from inferq_models import artifacts, register
from inferq_models.loader import load
from inferq_models.runtimes import graphs

X, Y = load_iris(return_X_y=True)


@pytest.fixture
def version(settings):
    return register("iris", LogisticRegression(max_iter=500).fit(X, Y), X, Y, settings=settings, runtime="onnx")


@pytest.fixture
def file(version):
    return Path(version.onnx_uri.removeprefix("file://"))


def put(settings, version, model):
    """A record of `version` and a file that agree with each other, with another model."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    digest = artifacts.digest_of(data)
    path = settings.home_path / "artifacts" / version.model / f"{digest}.onnx"
    path.write_bytes(data)
    return replace(version, onnx_digest=digest, onnx_uri=path.as_uri())


def test_it_lies_beside_the_original_under_its_own_digest(settings, version, file):
    folder = settings.home_path / "artifacts" / "iris"
    assert file == folder / f"{version.onnx_digest}.onnx"
    assert artifacts.digest_of(file.read_bytes()) == version.onnx_digest
    assert {path.name for path in folder.iterdir()} == {file.name, f"{version.digest}.skops"}
    assert artifacts.verify(settings.artifacts, version) == sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_changed_byte_is_refused(settings, version, file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)

    with pytest.raises(
        ArtifactRejected, match=f"the ONNX artifact of iris version 1 was changed.*{version.onnx_digest}"
    ):
        load(version, settings, Runtime.ONNX)
    with pytest.raises(ArtifactRejected, match="the ONNX artifact of iris version 1 was changed"):
        artifacts.verify(settings.artifacts, version)
    assert load(version, settings).call("predict", X[:2]) == [0, 0]


def test_a_missing_one_is_refused(settings, version, file):
    file.unlink()
    with pytest.raises(ArtifactRejected, match="the ONNX artifact of iris version 1 is missing"):
        load(version, settings, Runtime.ONNX)


@pytest.mark.parametrize(
    "changes",
    [
        {"onnx_uri": "file:///etc/passwd"},
        {"onnx_uri": "http://127.0.0.1:1/model.onnx"},
        {"onnx_uri": "memory://models/iris.onnx"},
        {"onnx_uri": "../../etc/passwd"},
        {"onnx_uri": None, "onnx_digest": None},
        {"onnx_digest": "../../" + "0" * 58},
        {"model": "../iris"},
    ],
)
def test_a_record_that_points_elsewhere_is_refused(settings, version, changes):
    with pytest.raises(ArtifactRejected, match="not below INFERQ_ARTIFACTS_URL"):
        load(replace(version, **changes), settings, Runtime.ONNX)


def test_a_link_is_not_followed(settings, version, file, tmp_path):
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactRejected, match="the ONNX artifact of iris version 1 is no file but a link"):
        load(version, settings, Runtime.ONNX)


def test_a_file_that_is_too_large_is_refused(settings, version, file):
    small = settings.model_copy(update={"max_artifact_bytes": file.stat().st_size - 1})
    with pytest.raises(ArtifactRejected, match="the ONNX artifact of iris version 1 has more than"):
        load(version, small, Runtime.ONNX)


def matrix_model(*nodes, initializers=(), functions=(), kind=TensorProto.DOUBLE):
    rows = helper.make_tensor_value_info("rows", kind, [None, 4])
    answers = helper.make_tensor_value_info("answers", kind, [None, 4])
    graph = helper.make_graph(list(nodes), "graph", [rows], [answers], list(initializers))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("com.own", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=9)


IDENTITY = helper.make_node("Identity", ["rows"], ["answers"])


def external(location="../../../../etc/passwd"):
    tensor = TensorProto(name="weights", data_type=TensorProto.DOUBLE, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def within_branch(node, *initializers):
    """The node in a graph that is an attribute of another."""
    output = helper.make_tensor_value_info("inner", TensorProto.DOUBLE, [None, 4])
    branch = helper.make_graph([node], "branch", [], [output], list(initializers))
    condition = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    return matrix_model(
        helper.make_node("If", ["yes"], ["answers"], then_branch=branch, else_branch=branch), initializers=[condition]
    )


FORGED = {
    "no model": (b"\xff\xff hello", "is no ONNX model"),
    "another file": (matrix_model(IDENTITY, initializers=[external()]), "another file: '../../../../etc/passwd'"),
    "a file nearby": (matrix_model(IDENTITY, initializers=[external("weights.bin")]), "another file: 'weights.bin'"),
    "another file in a constant": (
        matrix_model(helper.make_node("Constant", [], ["c"], value=external()), IDENTITY),
        "another file",
    ),
    "another file in a branch": (
        within_branch(helper.make_node("Identity", ["rows"], ["inner"]), external()),
        "another file",
    ),
    "an operator of its own": (
        matrix_model(helper.make_node("Run", ["rows"], ["answers"], domain="com.own")),
        r"an operator of its own: com.own.Run",
    ),
    "an operator of its own in a branch": (
        within_branch(helper.make_node("Tokenizer", ["rows"], ["inner"], domain="com.microsoft")),
        r"an operator of its own: com.microsoft.Tokenizer",
    ),
    "a function": (
        matrix_model(
            helper.make_node("Mine", ["rows"], ["answers"], domain="com.own"),
            functions=[
                helper.make_function(
                    "com.own",
                    "Mine",
                    ["x"],
                    ["y"],
                    [helper.make_node("Identity", ["x"], ["y"])],
                    [helper.make_opsetid("", 18)],
                )
            ],
        ),
        "functions of its own: Mine",
    ),
    "another input": (matrix_model(IDENTITY, kind=TensorProto.FLOAT), "does not take one matrix of float64"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_one_is_refused(settings, version, name):
    model, reason = FORGED[name]
    with pytest.raises(ArtifactRejected, match=reason):
        load(put(settings, version, model), settings, Runtime.ONNX)


def test_what_forged_ones_are_made_from_is_not_refused_itself(settings, version):
    harmless = within_branch(helper.make_node("Identity", ["rows"], ["inner"]))
    onnx.checker.check_model(harmless)
    loaded = load(put(settings, version, harmless), settings, Runtime.ONNX)
    assert np.array_equal(loaded.estimator._run("answers", X), X)


def test_one_that_is_too_large_is_refused_before_it_is_parsed(settings, version, monkeypatch):
    monkeypatch.setattr(graphs, "MAX_BYTES", 100)
    monkeypatch.setattr(onnx, "load_model_from_string", None)
    with pytest.raises(ArtifactRejected, match=r"has [0-9,]+ bytes, at most 100 are read"):
        load(version, settings, Runtime.ONNX)
