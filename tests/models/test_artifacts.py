"""Artifacts that were changed, forged or put elsewhere are not loaded, and nothing of them runs."""

import io
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import fsspec
import joblib
import numpy as np
import pytest
import skops.io
from fsspec.implementations.local import LocalFileSystem
from pydantic import SecretStr
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from inferq_core.errors import ArtifactRejected, RegistrationRefused
from inferq_core.settings import Settings
from inferq_models import artifacts, register, register_file
from inferq_models.formats import Format
from inferq_models.loader import load
from inferq_models.trees import check_trees

X, Y = load_iris(return_X_y=True)


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def version(settings):
    return register("iris", LogisticRegression(max_iter=500).fit(X, Y), X, Y, settings=settings, runtime="sklearn")


@pytest.fixture
def file(version):
    return Path(version.uri.removeprefix("file://"))


def put(settings, version, data, **changes):
    """A record of `version` and a file that agree with each other, with other content."""
    digest = artifacts.digest_of(data)
    forged = replace(version, digest=digest, **changes)
    path = Path(settings.home_path) / "artifacts" / version.model / f"{digest}.{forged.format}"
    path.write_bytes(data)
    return replace(forged, uri=path.as_uri())


def test_the_artifact_lies_under_its_digest_below_the_home(settings, version, file):
    assert file == settings.home_path / "artifacts" / "iris" / f"{version.digest}.skops"
    assert artifacts.digest_of(file.read_bytes()) == version.digest
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_changed_byte_is_refused(settings, version, file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)

    with pytest.raises(ArtifactRejected, match=f"was changed after registration.*expected {version.digest}"):
        load(version, settings)


def test_missing_artifact_is_refused(settings, version, file):
    file.unlink()

    with pytest.raises(ArtifactRejected, match="iris version 1 is missing"):
        load(version, settings)


def test_writing_again_repairs_a_damaged_file(settings, version, file):
    data = file.read_bytes()
    file.write_bytes(b"damaged")

    uri = artifacts.write(settings.artifacts, "iris", data, Format.SKOPS)

    assert uri == version.uri
    assert load(version, settings).call("predict", X[:2]) == [0, 0]


def test_a_pickle_under_a_skops_name_is_never_opened(settings, version, tmp_path):
    data = pickle.dumps(Trap(tmp_path / "mark"))
    path = tmp_path / "model.skops"
    path.write_bytes(data)

    with pytest.raises(RegistrationRefused, match="not in skops format"):
        register_file("trap", path, settings=settings)
    with pytest.raises(ArtifactRejected, match="cannot be read"):
        load(put(settings, version, data), settings)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("suffix", ["joblib", "pkl", "pickle"])
def test_a_pickle_without_trust_is_never_opened(settings, version, tmp_path, suffix):
    data = pickle.dumps(Trap(tmp_path / "mark"))
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(data)

    with pytest.raises(RegistrationRefused, match=f"(?s)any code.*{artifacts.digest_of(data)}.*--trust-pickle"):
        register_file("trap", path, settings=settings)
    with pytest.raises(ArtifactRejected, match="can run any code and was not trusted"):
        load(put(settings, version, data, format="pickle"), settings)
    assert not (tmp_path / "mark").exists()


def test_a_trusted_pickle_is_opened_for_its_digest_only(settings, tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(LogisticRegression(max_iter=500).fit(X, Y), path)
    version = register_file("iris", path, trust_pickle=True, settings=settings)
    assert (version.format, version.trust_pickle, version.digest) == (
        "joblib",
        True,
        artifacts.digest_of(path.read_bytes()),
    )
    assert load(version, settings).call("predict", X[:2]) == [0, 0]

    Path(version.uri.removeprefix("file://")).write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    with pytest.raises(ArtifactRejected, match="was changed"):
        load(version, settings)
    assert not (tmp_path / "mark").exists()


def test_types_nobody_approved_are_not_built(settings, version):
    data = skops.io.dumps(FunctionTransformer(os.system))

    with pytest.raises(RegistrationRefused, match=r"posix\.system.*trust_types=\['posix\.system'\].*--trust-type"):
        register("shell", FunctionTransformer(os.system), ["ls"], settings=settings)
    with pytest.raises(ArtifactRejected, match=r"types that nobody approved: posix\.system"):
        load(put(settings, version, data), settings)


def test_a_skops_file_cut_short_or_without_a_schema_is_refused(settings, version, file, tmp_path):
    empty = tmp_path / "empty.skops"
    with zipfile.ZipFile(empty, "w"):
        pass

    for data in (file.read_bytes()[:500], empty.read_bytes(), b""):
        with pytest.raises(ArtifactRejected, match="cannot be read"):
            load(put(settings, version, data), settings)


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "..", ".hidden", "", "a\\b", "a\n", "/etc", "ä", "a" * 101, "a b", None]
)
def test_a_name_that_could_climb_out_is_refused(settings, name):
    with pytest.raises(RegistrationRefused, match=r"model name .* is not allowed"):
        register(name, LogisticRegression(max_iter=500).fit(X, Y), X, settings=settings)
    assert not settings.home_path.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"uri": "file:///etc/passwd"},
        {"uri": "http://127.0.0.1:1/model.skops"},
        {"model": "../iris"},
        {"digest": "../../secret"},
        {"format": "sh"},
        {"uri": "memory://models/iris.skops"},
        {"uri": "simplecache::file:///etc/passwd"},
        {"uri": "../../etc/passwd"},
        {"uri": ""},
    ],
)
def test_a_record_that_points_elsewhere_is_refused(settings, version, changes):
    with pytest.raises(ArtifactRejected, match="not below INFERQ_ARTIFACTS_URL"):
        load(replace(version, **changes), settings)


def test_artifacts_may_lie_in_any_store_that_fsspec_knows(settings):
    settings = settings.model_copy(update={"artifacts_url": SecretStr("memory://models")})

    version = register("iris", LogisticRegression(max_iter=500).fit(X, Y), X, settings=settings)

    assert version.uri == f"memory:///models/iris/{version.digest}.skops"
    assert load(version, settings).call("predict", X[:2]) == [0, 0]
    fsspec.filesystem("memory").pipe_file(version.uri, b"changed")
    with pytest.raises(ArtifactRejected, match="was changed"):
        load(version, settings)


def test_a_home_with_spaces_and_accents_is_that_home(tmp_path):
    settings = Settings(home=tmp_path / "Ärger mit viel Raum")

    version = register("iris", LogisticRegression(max_iter=500).fit(X, Y), X, settings=settings)

    assert (settings.home_path / "artifacts" / "iris" / f"{version.digest}.skops").is_file()
    assert load(version, settings).call("predict", X[:2]) == [0, 0]


def test_an_unwritable_folder_is_one_clear_refusal(settings, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    settings = settings.model_copy(update={"artifacts_url": SecretStr(str(tmp_path / "file"))})

    with pytest.raises(RegistrationRefused, match=r"cannot be written.*INFERQ_ARTIFACTS_URL"):
        register("iris", LogisticRegression(max_iter=500).fit(X, Y), X, settings=settings)


@pytest.mark.parametrize("link", ["file", "folder", "dangling"])
def test_a_link_is_not_followed(settings, version, file, tmp_path, link):
    elsewhere = tmp_path / "elsewhere"
    linked = file.parent if link == "folder" else file
    linked.rename(elsewhere)
    linked.symlink_to(tmp_path / "nothing" if link == "dangling" else elsewhere)

    with pytest.raises(ArtifactRejected, match="is no file but a link"):
        load(version, settings)
    with pytest.raises(ArtifactRejected, match="is no file but a link"):
        artifacts.verify(settings.artifacts, version)


def test_the_folder_of_all_artifacts_may_be_a_link(settings, version, tmp_path):
    folder = settings.home_path / "artifacts"
    folder.rename(tmp_path / "volume")
    folder.symlink_to(tmp_path / "volume")

    assert load(version, settings).call("predict", X[:2]) == [0, 0]


def test_a_pipe_is_not_waited_for(settings, version, file):
    file.unlink()
    os.mkfifo(file)

    with pytest.raises(ArtifactRejected, match="is no file: "):
        load(version, settings)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(settings, version, file, monkeypatch):
    monkeypatch.setattr(LocalFileSystem, "cat_file", None)
    settings = settings.model_copy(update={"max_artifact_bytes": file.stat().st_size - 1})

    with pytest.raises(ArtifactRejected, match=r"has more than [0-9,]+ bytes.*INFERQ_MAX_ARTIFACT_BYTES"):
        load(version, settings)


def test_a_model_that_no_worker_would_load_is_not_registered(settings, tmp_path):
    small = settings.model_copy(update={"max_artifact_bytes": 100})
    model = LogisticRegression(max_iter=500).fit(X, Y)
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)

    with pytest.raises(RegistrationRefused, match="INFERQ_MAX_ARTIFACT_BYTES is 100"):
        register("iris", model, X, settings=small)
    with pytest.raises(RegistrationRefused, match="INFERQ_MAX_ARTIFACT_BYTES is 100"):
        register_file("iris", path, settings=small)


def test_passwords_in_the_url_of_the_artifacts_are_not_shown(settings, version):
    secret = settings.model_copy(update={"artifacts_url": SecretStr("memory://me:S3CRET@models")})

    with pytest.raises(ArtifactRejected) as refused:
        load(replace(version, uri="ftp://me:S3CRET@host/model"), secret)
    assert "S3CRET" not in f"{refused.value}{secret!r}"


def change_nodes(tree, field, value, place=0):
    state = tree.__getstate__()
    state["nodes"][field][place] = value
    tree.__setstate__(state)


def decision_tree(field, value, place=0):
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    change_nodes(model.tree_, field, value, place)
    return model


def forest_member(field, value):
    model = RandomForestClassifier(3, random_state=0).fit(X, Y)
    change_nodes(model.estimators_[2].tree_, field, value)
    return model


def boosting_member():
    model = GradientBoostingClassifier(n_estimators=2, random_state=0).fit(X, Y)
    change_nodes(model.estimators_[1, 2].tree_, "right_child", 10**6)
    return model


def with_width(model, n_features):
    model.fit(X, Y).n_features_in_ = n_features
    return model


def without_width():
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    del model.n_features_in_
    return model


def histogram(field, value, place=0):
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2).fit(X, Y)
    model._predictors[0][0].nodes[field][place] = value
    return model


@pytest.mark.parametrize(
    "crafted",
    [
        lambda: decision_tree("left_child", 10**6),
        lambda: decision_tree("right_child", -5),
        lambda: decision_tree("left_child", 0),  # a loop: predict would never return
        lambda: decision_tree("feature", 4),
        lambda: decision_tree("feature", -3),
        without_width,
        lambda: with_width(DecisionTreeClassifier(random_state=0), 3),
        lambda: forest_member("feature", 1000),
        lambda: with_width(RandomForestClassifier(3), 2),
        lambda: with_width(GradientBoostingClassifier(n_estimators=2), 2),
        lambda: with_width(IsolationForest(n_estimators=2), 2),
        lambda: with_width(BaggingClassifier(n_estimators=2), 2),
        boosting_member,
        lambda: histogram("left", 10**6),
        lambda: histogram("right", 0),
        lambda: histogram("feature_idx", 99),
        lambda: histogram("is_categorical", 1),
        lambda: with_width(HistGradientBoostingClassifier(max_iter=2), 40),
    ],
)
def test_a_crafted_tree_is_refused_before_it_predicts(settings, version, crafted):
    data = skops.io.dumps(crafted())

    with pytest.raises(ArtifactRejected, match="damaged or crafted"):
        load(put(settings, version, data), settings)


@pytest.mark.parametrize("nodes", ["0", "-1"])
def test_a_tree_with_a_wrong_node_count_is_refused(settings, version, tmp_path, nodes):
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, Y)
    # By hand: a process that holds such a tree may die when it is asked for the nodes.
    with (
        zipfile.ZipFile(io.BytesIO(skops.io.dumps(tree))) as honest,
        zipfile.ZipFile(tmp_path / "forged", "w") as forged,
    ):
        for name in honest.namelist():
            content = honest.read(name)
            if name == "schema.json":
                schema = json.loads(content)
                count = schema["content"]["content"]["tree_"]["content"]["content"]["node_count"]
                assert count["content"] == str(tree.tree_.node_count)
                count["content"] = nodes
                content = json.dumps(schema).encode()
            forged.writestr(name, content)

    with pytest.raises(ArtifactRejected, match="a Tree in the artifact was damaged or crafted: its node count"):
        load(put(settings, version, (tmp_path / "forged").read_bytes()), settings)


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(max_leaf_nodes=5),  # built best first
        DecisionTreeClassifier(max_depth=1),
        RandomForestClassifier(3, max_leaf_nodes=7),
        IsolationForest(n_estimators=3, max_features=2),
        BaggingClassifier(n_estimators=3, max_features=2),
        GradientBoostingClassifier(n_estimators=2),
        HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]),
        HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1000),
    ],
)
def test_honest_trees_pass(model):
    check_trees(model.fit(np.floor(X), Y))
    check_trees(model.fit(np.floor(X), (Y == 1) * 1))
