"""Versions that ONNX serves answer as scikit-learn does, and the others say why it does not serve them."""

import re
import sys
from contextlib import nullcontext
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from inferq_core.errors import RegistrationRefused
from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_core.store.records import Runtime
from inferq_models import register
from inferq_models.catalog import Catalog
from inferq_models.infer import call, infer
from inferq_models.loader import load
from inferq_models.runtimes import choice, probes
from inferq_models.runtimes.parity import check_parity
from inferq_models.runtimes.reasons import NotServed
from inferq_models.runtimes.session import OnnxEstimator
from inferq_models.runtimes.speed import Speed, measure

X, CLASSES = make_classification(n_samples=1200, n_features=8, n_informative=5, n_classes=3, random_state=3)
BINARY = (CLASSES > 0).astype(int)
NAMES = np.array(["low", "medium", "high"])[CLASSES]
HOLED = np.where(np.random.default_rng(3).random(X.shape) < 0.1, np.nan, X)
FRAME = pd.DataFrame({"whole": np.rint(X[:, 0] * 10).astype(int), "real": X[:, 1], "yes": X[:, 2] > 0})
AMOUNT = X[:, 0] * 1000 + X[:, 1]


@cache
def cases():
    small = {"n_estimators": 30, "random_state": 3}
    few = {"max_iter": 20, "random_state": 3}
    return {
        "logistic regression": (LogisticRegression(), X, BINARY),
        "labels that are booleans": (LogisticRegression(), X, BINARY == 1),
        "labels that are whole floats": (GaussianNB(), X, BINARY + 1.0),
        "scaler and logistic regression": (make_pipeline(StandardScaler(), LogisticRegression()), X, NAMES),
        "imputer": (make_pipeline(SimpleImputer(strategy="median"), LogisticRegression()), HOLED, NAMES),
        "linear regression": (make_pipeline(StandardScaler(), Ridge()), X, AMOUNT),
        "clusters": (KMeans(3, n_init=1, random_state=3), X, None),
        "tree": (DecisionTreeClassifier(random_state=3), X, NAMES),
        "regression tree of one leaf": (DecisionTreeRegressor(min_samples_leaf=800), X, AMOUNT),
        "forest": (RandomForestClassifier(**small), X, NAMES),
        "forest of booleans": (RandomForestClassifier(**small), X, BINARY == 1),
        "forest with missing values": (RandomForestClassifier(**small), HOLED, BINARY),
        "forest on float32": (RandomForestClassifier(**small), X.astype(np.float32), BINARY),
        "scaler and forest": (make_pipeline(StandardScaler(), RandomForestClassifier(**small)), X, NAMES),
        "forest on a frame": (RandomForestClassifier(**small), FRAME, NAMES),
        "regression forest": (RandomForestRegressor(**small), X, AMOUNT),
        "extra trees": (ExtraTreesClassifier(**small), X, NAMES),
        "regression extra trees": (ExtraTreesRegressor(**small), X, AMOUNT),
        "boosting, two classes": (GradientBoostingClassifier(**small), X, BINARY),
        "boosting, three classes": (GradientBoostingClassifier(**small), X, NAMES),
        "boosting from zero": (GradientBoostingClassifier(init="zero", **small), X, BINARY),
        "regression boosting": (GradientBoostingRegressor(**small), X, AMOUNT),
        "histogram boosting, two classes": (HistGradientBoostingClassifier(**few), HOLED, BINARY),
        "histogram boosting, three classes": (HistGradientBoostingClassifier(**few), HOLED, NAMES),
        "regression histogram boosting": (HistGradientBoostingRegressor(**few), HOLED, AMOUNT),
        "poisson histogram boosting": (HistGradientBoostingRegressor(loss="poisson", **few), X, CLASSES),
    }


def fitted(case):
    estimator, rows, target = cases()[case]
    return estimator.fit(rows[:600], None if target is None else target[:600]), rows


@pytest.fixture
def catalog(registry, settings):
    return Catalog(registry, settings, "test", computing=nullcontext)


@pytest.fixture
def quicker(monkeypatch):
    """ONNX is quicker, whatever the machine is doing."""
    monkeypatch.setattr(choice, "measure", lambda *_: Speed((2.0, 1.0), (2.0, 1.0)))


@pytest.mark.parametrize("case", list(cases()))
def test_onnx_answers_rows_that_it_never_saw_as_scikit_learn_does(settings, case):
    estimator, rows = fitted(case)
    version = register("model", estimator, rows[:60], settings=settings, runtime="onnx")
    assert version.runtime is Runtime.ONNX
    assert version.runtime_reason.startswith("asked for; equal on 60 rows of the sample and ")

    converted = load(version, settings, Runtime.ONNX)

    assert isinstance(converted.estimator, OnnxEstimator)
    signature = converted.signature
    made = dict(probes.probes(signature, probes.as_matrix(rows), lambda part: call(estimator, Method.PREDICT, part)))
    tried = [rows[600:], *(probes.as_rows(signature, matrix) for matrix in made.values() if len(matrix))]
    for part in tried:
        expected = call(estimator, Method.PREDICT, part)
        got = converted.call(Method.PREDICT, part)
        if signature.classes is None:
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)
        else:
            assert got == expected
        assert list(map(type, got)) == list(map(type, expected))
        if Method.PREDICT_PROBA in signature.methods:
            probabilities = np.array(converted.call(Method.PREDICT_PROBA, part))
            assert np.allclose(probabilities, estimator.predict_proba(part), rtol=0, atol=1e-12)


def test_a_tie_of_votes_gets_the_label_that_scikit_learn_gives_it(settings):
    for n_trees in (10, 50, 500):  # 1/50 added 25 times is more than a half in float32, 1/10 five times is not
        forest = RandomForestClassifier(n_trees, max_depth=None, random_state=3).fit(X[:300], BINARY[:300])
        random = np.random.default_rng(3)
        rows = np.concatenate([random.permuted(X, axis=0) for _ in range(5)])
        ties = rows[forest.predict_proba(rows)[:, 0] == 0.5]
        assert len(ties) > 0
        version = register("forest", forest, X[:60], settings=settings, runtime="onnx")
        assert load(version, settings, Runtime.ONNX).call(Method.PREDICT, ties) == [0] * len(ties)


def test_values_at_a_threshold_go_the_way_that_they_go_in_scikit_learn(settings):
    tree = DecisionTreeClassifier(random_state=3).fit(X[:300], NAMES[:300])
    version = register("tree", tree, X[:60], settings=settings, runtime="onnx")
    inner = tree.tree_.feature >= 0
    thresholds, features = tree.tree_.threshold[inner], tree.tree_.feature[inner]
    narrow = thresholds.astype(np.float32)
    sides = [thresholds, *(np.nextafter(thresholds, side) for side in (-np.inf, np.inf))]
    sides += [narrow, *(np.nextafter(narrow, np.float32(side)) for side in (-np.inf, np.inf))]
    for values in sides:
        rows = X[: len(values)].copy()
        rows[np.arange(len(values)), features] = values
        assert load(version, settings, Runtime.ONNX).call(Method.PREDICT, rows) == tree.predict(rows).tolist()


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_value_that_trees_refuse_is_refused(settings):
    forest, _ = fitted("forest")
    version = register("forest", forest, X[:60], settings=settings, runtime="onnx")
    with pytest.raises(ValueError, match="too large for dtype") as refused:
        forest.predict(np.full((1, X.shape[1]), 1e300))
    with pytest.raises(ValueError, match=str(refused.value).splitlines()[0].replace("(", r"\(").replace(")", r"\)")):
        load(version, settings, Runtime.ONNX).call(Method.PREDICT, np.full((1, X.shape[1]), 1e300))


@pytest.mark.usefixtures("quicker")
@pytest.mark.parametrize(
    ("estimator", "rows", "target", "reason"),
    [
        (LinearRegression(), X, X[:, :2], "not convertible: it predicts 2 values a row"),
        (RandomForestClassifier(3), X, np.c_[BINARY, CLASSES], "not convertible: it predicts 2 values"),
        (MultiOutputClassifier(GaussianNB()), X, np.c_[BINARY, CLASSES], "not convertible: it predicts 2 values"),
        (make_pipeline(CountVectorizer(), LogisticRegression()), ["one two", "three four"] * 9, [0, 1] * 9, "texts"),
        (
            HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]),
            np.c_[CLASSES, X],
            BINARY,
            "not convertible: it has categorical columns",
        ),
        (GradientBoostingClassifier(loss="exponential", n_estimators=3), X, BINARY, "its loss is exponential"),
        (
            GradientBoostingRegressor(init=LinearRegression(), n_estimators=3),
            X,
            AMOUNT,
            "it starts from another estimator, LinearRegression",
        ),
        (SVC(), X, NAMES, r"parity failed: \d+ of \d+ rows where the answer changes get another label"),
        (LinearRegression(), X, X[:, :1], r"parity failed: predict of rows of the sample has shape \(60, 1\)"),
    ],
)
def test_what_onnx_cannot_serve_is_served_by_scikit_learn_with_the_reason(settings, estimator, rows, target, reason):
    estimator.fit(rows, target)
    with pytest.raises(RegistrationRefused, match=f"cannot be served by ONNX: .*({reason}).*auto or sklearn"):
        register("model", estimator, rows[:60], settings=settings, runtime="onnx")

    version = register("model", estimator, rows[:60], settings=settings)

    assert version.number == 1
    assert (version.runtime, version.onnx_uri, version.onnx_digest) == (Runtime.SKLEARN, None, None)
    assert re.search(reason, version.runtime_reason)


@pytest.mark.parametrize(
    ("speed", "runtime", "reason"),
    [
        (Speed((1e-3, 2e-4), (0.01, 0.005)), Runtime.ONNX, "1 row in 0.2 ms instead of 1 ms, 256 in 5 ms instead of"),
        (Speed((1e-3, 2e-4), (0.01, 0.0095)), Runtime.SKLEARN, "not quicker: 1 row in 0.2 ms"),
        (Speed((1e-3, 1e-3), (0.01, 0.005)), Runtime.SKLEARN, "not quicker: 1 row in 1 ms"),
    ],
)
def test_auto_takes_onnx_only_when_both_one_row_and_a_batch_are_quicker(settings, monkeypatch, speed, runtime, reason):
    monkeypatch.setattr(choice, "measure", lambda *_: speed)
    version = register("model", fitted("logistic regression")[0], X[:60], settings=settings)
    assert version.runtime is runtime
    assert version.runtime_reason.startswith(reason)


def test_one_row_and_a_batch_of_rows_are_measured_on_both():
    sizes = {"plain": set(), "converted": set()}

    def answering(name):
        return Answers(lambda rows: sizes[name].add(len(rows)) or positive(rows))

    speed = measure(answering("plain"), answering("converted"), infer(Answers(positive), X[:60]), X[:60])
    assert sizes == {"plain": {1, 256}, "converted": {1, 256}}
    assert all(seconds > 0 for seconds in (*speed.row, *speed.batch))


@pytest.mark.usefixtures("quicker")
@pytest.mark.parametrize("case", ["scaler and forest", "histogram boosting, two classes"])
def test_trees_that_would_take_long_are_converted_only_when_asked_for(settings, monkeypatch, case):
    estimator, rows = fitted(case)
    monkeypatch.setattr(choice, "MAX_NODES", 100)
    version = register("model", estimator, rows[:60], settings=settings)
    assert version.runtime is Runtime.SKLEARN
    assert re.match(
        r"not tried: it has [\d,]+ nodes of trees, and auto converts 100 at the most", version.runtime_reason
    )
    assert register("model", estimator, rows[:60], settings=settings, runtime="onnx").runtime is Runtime.ONNX
    monkeypatch.setattr(choice, "MAX_NODES", 100_000)
    assert register("model", estimator, rows[:60], settings=settings).runtime is Runtime.ONNX


def test_sklearn_is_never_converted(settings, monkeypatch):
    monkeypatch.setattr(choice, "convert", None)
    version = register("model", fitted("logistic regression")[0], X[:60], settings=settings, runtime="sklearn")
    assert (version.runtime, version.runtime_reason) == (Runtime.SKLEARN, "asked for")


def test_a_runtime_that_does_not_exist_is_refused(settings):
    with pytest.raises(RegistrationRefused, match="runtime='torch': give one of auto, sklearn, onnx"):
        register("model", fitted("logistic regression")[0], X[:60], settings=settings, runtime="torch")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "skl2onnx"])
def test_without_the_extra_scikit_learn_serves(settings, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    estimator, _ = fitted("logistic regression")
    version = register("model", estimator, X[:60], settings=settings)
    assert version.runtime is Runtime.SKLEARN
    assert version.runtime_reason == f"{package} is not installed: pip install 'inferq[onnx]'"
    with pytest.raises(RegistrationRefused, match=rf"{package} is not installed: pip install 'inferq\[onnx\]'"):
        register("model", estimator, X[:60], settings=settings, runtime="onnx")


def served_by_onnx(settings):
    estimator, rows = fitted("logistic regression")
    return estimator, register("model", estimator, rows[:60], settings=settings, runtime="onnx")


def test_methods_that_onnx_does_not_have_are_computed_by_scikit_learn(settings, registry, catalog):
    estimator, version = served_by_onnx(settings)
    predicting = catalog.loaded(version, Method.PREDICT)
    assert catalog.loaded(version, Method.PREDICT_PROBA) is predicting
    assert isinstance(predicting.estimator, OnnxEstimator)

    deciding = catalog.loaded(version, Method.DECISION_FUNCTION)

    assert deciding.call(Method.DECISION_FUNCTION, X) == estimator.decision_function(X).tolist()
    assert catalog.loaded(version, Method.PREDICT) is predicting
    loads = [entry.fields["runtime"] for _, entry in registry.read() if entry.event == "model_loaded"]
    assert loads == ["onnx", "sklearn"]


@pytest.mark.parametrize("broken", ["onnx", "onnxruntime", "an older onnxruntime"])
def test_a_worker_that_cannot_run_onnx_predicts_with_scikit_learn_and_says_so_once(
    settings, registry, catalog, monkeypatch, broken
):
    estimator, version = served_by_onnx(settings)
    if broken == "an older onnxruntime":
        monkeypatch.setattr("onnxruntime.InferenceSession", refuse)
    else:
        monkeypatch.setitem(sys.modules, broken, None)

    models = [catalog.loaded(version, method) for method in (Method.PREDICT, Method.PREDICT_PROBA, Method.PREDICT)]

    assert models[0] is models[1] is models[2]
    assert models[0].call(Method.PREDICT, X) == estimator.predict(X).tolist()
    warnings = [entry for _, entry in registry.read() if entry.level == "warning"]
    assert [entry.event for entry in warnings] == ["onnx_unavailable"]
    assert ("opset 99" if "older" in broken else f"{broken} is not installed") in warnings[0].fields["reason"]


def refuse(*_, **__):
    raise RuntimeError("opset 99 is not supported")


class Answers:
    """Stands for an estimator, or for its conversion."""

    classes_ = np.array([0, 1])

    def __init__(self, predict):
        self.predict = predict


def positive(rows):
    return (rows[:, 0] > 0.3).astype(int)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (lambda rows: 1 - positive(rows), "60 of 60 rows of the sample get another label, [01] instead of [01]"),
        (lambda rows: positive(rows).astype(bool), "60 of 60 rows of the sample"),
        (
            lambda rows: (rows[:, 0].astype(np.float32) > np.float32(0.3)).astype(int),
            "rows rounded to the neighbours|where the answer changes",
        ),
        (lambda rows: (rows[:, 0] > 0.3 + 1e-9).astype(int), r"\d+ of 100 rows where the answer changes"),
        (
            lambda rows: positive(rows) * (np.abs(rows[:, 1]) < 20),
            "outside its range get another label, 0 instead of 1",
        ),
        (lambda rows: np.where(np.isnan(rows).any(axis=1), 0, positive(rows)), "with missing values"),
        (lambda rows: rows.explode(), "ONNX cannot answer rows of the sample: AttributeError"),
    ],
)
def test_one_different_label_anywhere_is_no_parity(other, reason):
    estimator = Answers(positive)
    signature = infer(estimator, X[:60])
    assert all(column.nullable for column in signature.columns)
    with pytest.raises(NotServed, match=f"parity failed: .*({reason})"):
        check_parity(estimator, Answers(other), signature, X[:60])


@pytest.mark.parametrize(("factor", "agrees"), [(1 + 1e-7, True), (1 + 1e-4, False)])
def test_numbers_may_differ_by_the_tolerance_only(factor, agrees):
    estimator, _ = fitted("linear regression")
    signature = infer(estimator, X[:60])
    converted = Answers(lambda rows: estimator.predict(rows) * factor)
    if agrees:
        assert check_parity(estimator, converted, signature, X[:60]).difference > 0
        return
    with pytest.raises(NotServed, match=r"parity failed: predict of rows of the sample was [-\d.]+, with ONNX [-\d.]+"):
        check_parity(estimator, converted, signature, X[:60])


def test_rows_that_the_estimator_refuses_are_not_asked_of_onnx():
    def strict(rows):
        if np.abs(rows).max() > 20:
            raise ValueError("out of range")
        return positive(rows)

    estimator = Answers(strict)
    parity = check_parity(estimator, estimator, infer(estimator, X[:60]), X[:60])
    everything = check_parity(Answers(positive), Answers(positive), infer(estimator, X[:60]), X[:60])
    assert 0 < parity.made_rows < everything.made_rows


def test_the_signature_is_the_estimators_whatever_serves(settings):
    _, version = served_by_onnx(settings)
    plain = register("model", fitted("logistic regression")[0], X[:60], settings=settings, runtime="sklearn")
    assert Signature.from_json(version.signature) == Signature.from_json(plain.signature)
