"""From a fitted estimator, or a file, to a version; and what never becomes one."""

from functools import cache

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.cluster import Birch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris, load_linnerud
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import BernoulliNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from inferq_core.columns import Kind, Layout
from inferq_core.errors import InvalidInput, RegistrationRefused, UnknownModel
from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_models import register, register_file
from inferq_models.loader import load
from inferq_models.parts import parts

X, Y = load_iris(return_X_y=True)
FRAME = load_iris(as_frame=True).data


def logistic(rows=X, labels=Y):
    return LogisticRegression(max_iter=500).fit(rows, labels)


class Changing(BaseEstimator):
    """Answers differently each time it is loaded."""

    def __init__(self, answer=0.0):
        self.answer = answer

    def __setstate__(self, state):
        self.__dict__.update(state, answer=state["answer"] + 1)

    def predict(self, rows):
        return np.full(len(rows), self.answer)


class Wrong(BaseEstimator):
    """Returns whatever it was told to."""

    def __init__(self, output=None):
        self.output = output

    def predict(self, rows):
        return self.output


def own_types(*classes):
    return [f"{cls.__module__}.{cls.__qualname__}" for cls in classes]


def signature_of(version):
    return Signature.from_json(version.signature)


def test_versions_are_numbered_and_the_champion_follows(settings, registry):
    first = register("iris", logistic(), X, settings=settings, promote=False)
    second = register("iris", logistic(), X, store=registry, settings=settings, promote=False)
    assert registry.aliases("iris") == {"champion": 1}

    third = register("iris", logistic(), X, settings=settings)

    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert registry.aliases("iris") == {"champion": 3}
    assert registry.version("iris", None) == third


def test_settings_of_the_model_are_kept(settings, registry):
    register(
        "iris", logistic(), X, settings=settings, queue="heavy", max_batch_rows=32, time_limit=9.5, latency_target=0.5
    )
    register("iris", logistic(), X, settings=settings)

    model = registry.model("iris")
    assert (model.queue, model.max_batch_rows, model.time_limit, model.latency_target) == ("heavy", 32, 9.5, 0.5)


@pytest.mark.parametrize(
    "option", [{"queue": "a b"}, {"max_batch_rows": 0}, {"time_limit": 0}, {"time_limit": -1.0}, {"latency_target": 0}]
)
def test_impossible_settings_are_refused(settings, option):
    with pytest.raises(RegistrationRefused, match=next(iter(option))):
        register("iris", logistic(), X, settings=settings, **option)


@cache
def cases():
    mixed = pd.DataFrame(
        {
            "age": [30, 41, 52, 63] * 5,
            "weight": np.array([50.5, 60, 70, 80] * 5, dtype=np.float32),
            "smoker": [True, False] * 10,
            "city": ["Bern", "Rome", None, "Bern"] * 5,
            "grade": pd.Categorical(["low", "high"] * 10, categories=["low", "high", "top"]),
            "note": ["a few words here", "and some more words"] * 10,
        }
    )
    labels = [0, 1] * 10
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city", "grade"]),
        (CountVectorizer(), "note"),
        remainder="passthrough",
    )
    objects = np.array([["a", 1.5], ["b", 2.5]] * 5, dtype=object)
    by_place = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough")
    category = mixed[["age", "grade"]]
    boosted = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2, categorical_features="from_dtype")
    texts = ["one two", "two three", "three one"]
    linnerud = load_linnerud()
    return {
        "matrix": (logistic(), X, Layout.MATRIX),
        "float32": (logistic(X.astype(np.float32)), X.astype(np.float32), Layout.MATRIX),
        "counts": (MultinomialNB().fit(X.astype(int), Y), X.astype(int), Layout.MATRIX),
        "booleans": (BernoulliNB().fit(X > 2, Y), X > 2, Layout.MATRIX),
        "lists": (logistic(), X.tolist(), Layout.MATRIX),
        "named": (logistic(FRAME), FRAME, Layout.FRAME),
        "named in another order": (logistic(FRAME), FRAME[FRAME.columns[::-1]].assign(target=Y), Layout.FRAME),
        "names from the estimator": (logistic(FRAME), X, Layout.FRAME),
        "names unknown to the estimator": (logistic(), FRAME, Layout.MATRIX),
        "dicts": (logistic(FRAME), FRAME.to_dict(orient="records"), Layout.FRAME),
        "mixed": (make_pipeline(encode, LogisticRegression()).fit(mixed, labels), mixed, Layout.FRAME),
        "categories": (boosted.fit(category, labels), category, Layout.FRAME),
        "objects": (make_pipeline(by_place, LinearRegression()).fit(objects, labels[:10]), objects, Layout.OBJECTS),
        "texts": (make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, [0, 1, 2]), texts, Layout.TEXTS),
        "series": (
            make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, [0, 1, 2]),
            pd.Series(texts),
            Layout.TEXTS,
        ),
        "scaler": (StandardScaler().fit(X), X, Layout.MATRIX),
        "sparse output": (OneHotEncoder().fit(X[:5]), X[:5], Layout.MATRIX),
        "many outputs": (LinearRegression().fit(linnerud.data, linnerud.target), linnerud.data, Layout.MATRIX),
        "many classes": (RandomForestClassifier(3).fit(X, np.c_[Y, Y > 0]), X, Layout.MATRIX),
    }


@pytest.mark.parametrize("case", cases())
def test_signature_says_what_the_sample_shows_and_survives_the_trip(settings, case):
    estimator, sample, layout = cases()[case]

    version = register("model", estimator, sample, settings=settings)

    model = load(version, settings)
    assert model.signature.layout is layout
    usable = sample[list(estimator.feature_names_in_)] if case == "named in another order" else sample
    rows = model.inputs([model.signature.check(row).json for row in (usable, usable)])
    expected = pd.DataFrame(usable, columns=FRAME.columns) if model.signature.named and case != "mixed" else usable
    if isinstance(expected, pd.DataFrame) and case in {"mixed", "categories"}:
        expected = sample
    for method in model.signature.methods:
        raw = getattr(estimator, method)(expected.to_numpy() if case.startswith("names unknown") else expected)
        raw = raw.toarray() if hasattr(raw, "toarray") else raw
        once = (
            [list(map(np.ndarray.tolist, row)) for row in zip(*raw, strict=True)]
            if isinstance(raw, list)
            else raw.tolist()
        )
        assert model.call(method, rows) == once + once


def test_columns_of_a_mixed_frame(settings):
    estimator, sample, _ = cases()["mixed"]

    columns = signature_of(register("model", estimator, sample, settings=settings)).columns

    assert [(column.name, column.kind, column.dtype, column.categories) for column in columns] == [
        ("age", Kind.NUMERIC, "int64", None),
        ("weight", Kind.NUMERIC, "float32", None),
        ("smoker", Kind.NUMERIC, "bool", None),
        ("city", Kind.CATEGORICAL, str(sample["city"].dtype), None),
        ("grade", Kind.CATEGORICAL, "category", ("low", "high", "top")),
        ("note", Kind.TEXT, str(sample["note"].dtype), None),
    ]
    assert [column.nullable for column in columns] == [False, False, False, True, True, False]


def test_methods_classes_and_outputs(settings):
    signature = signature_of(register("model", logistic(), X, settings=settings))
    assert signature.methods == (Method.PREDICT, Method.PREDICT_PROBA, Method.DECISION_FUNCTION)
    assert (signature.classes, signature.n_outputs) == ((0, 1, 2), 1)

    scaler = signature_of(register("scaler", StandardScaler().fit(X), X, settings=settings))
    assert (scaler.methods, scaler.classes, scaler.n_outputs) == ((Method.TRANSFORM,), None, 4)

    forest = signature_of(register("forest", cases()["many classes"][0], X, settings=settings))
    assert (forest.classes, forest.n_outputs) == (None, 2)


def test_a_method_that_the_version_lacks_is_invalid_input(settings):
    model = load(register("scaler", StandardScaler().fit(X), X, settings=settings), settings)

    with pytest.raises(InvalidInput, match="scaler version 1 has no predict; it has: transform"):
        model.call(Method.PREDICT, X)


def refused_samples():
    return {
        "empty": (np.empty((0, 4)), "the sample is empty"),
        "width": (X[:, :3], "the sample has 3 columns, the estimator was fitted with 4"),
        "one row only": (X[0], r"must have shape \(n_rows, n_features\)"),
        "infinite": (np.full((2, 4), np.inf), "cannot be sent as rows: row 0, column 0"),
        "nan": (
            np.full((2, 4), np.nan),
            "LogisticRegression.predict fails on the sample: ValueError: Input X contains NaN",
        ),
        "dates": (np.zeros((2, 4), dtype="datetime64[s]"), "the sample has dtype datetime64"),
        "ragged": ([[1, 2], [1]], "the sample is no table"),
        "mixed objects": (np.array([["a", 1, 2, 3], [1, 1, 2, 3]], dtype=object), "mixes strings with int"),
    }


@pytest.mark.parametrize("case", refused_samples())
def test_a_sample_that_does_not_fit_is_refused(settings, registry, case):
    sample, message = refused_samples()[case]

    with pytest.raises(RegistrationRefused, match=message):
        register("iris", logistic(), sample, settings=settings)
    with pytest.raises(UnknownModel):
        registry.model("iris")
    assert not (settings.home_path / "artifacts").exists()


def test_a_frame_with_dates_or_without_a_column_is_refused(settings):
    dates = pd.DataFrame({"day": pd.to_datetime(["2020-01-01", "2020-01-02"])})
    with pytest.raises(RegistrationRefused, match="column 'day' has dtype datetime64"):
        register("model", FunctionTransformer().fit(dates), dates, settings=settings)
    with pytest.raises(RegistrationRefused, match=r"lacks columns.*sepal width"):
        register("model", logistic(FRAME), FRAME.drop(columns="sepal width (cm)"), settings=settings)


@pytest.mark.parametrize(
    ("labels", "message"), [(Y[:5], "5 values for the 150 rows"), ((Y + 1), r"does not know: \['3'\]")]
)
def test_labels_that_do_not_fit_are_refused(settings, labels, message):
    with pytest.raises(RegistrationRefused, match=message):
        register("iris", logistic(), X, labels, settings=settings)


def test_an_estimator_that_is_not_fitted_is_refused(settings):
    with pytest.raises(RegistrationRefused, match=r"LogisticRegression\.predict fails on the sample: NotFittedError"):
        register("iris", LogisticRegression(), X, settings=settings)
    with pytest.raises(RegistrationRefused, match="dict has none of the methods"):
        register("iris", {}, X, settings=settings)


def test_what_skops_cannot_save_is_refused(settings):
    with pytest.raises(RegistrationRefused, match=r"cannot be saved with skops.*register_file"):
        register("birch", Birch().fit(X), X, settings=settings)


def test_a_model_that_changes_when_it_is_saved_never_becomes_a_version(settings, registry):
    with pytest.raises(RegistrationRefused, match=r"predict gives something else.*row 0 .* was 0\.0, is 1\.0"):
        register("changing", Changing(), X, settings=settings, trust_types=own_types(Changing))

    with pytest.raises(UnknownModel):
        registry.model("changing")
    assert not (settings.home_path / "artifacts").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ([1.0, float("nan")], "row 1: the model returned NaN"),
        (np.array([1.0, np.inf]), "row 1: the model returned NaN or infinity"),
        ([1.0], "returned 1 outputs for 2 rows"),
        (1.0, "returned a float, expected an array or a list"),
        (None, "returned a NoneType"),
        ([None, None], "returned a NoneType, which JSON cannot hold"),
        ([2**70, 1], "JSON cannot hold"),
        (np.array([1j, 2j]), "ndarray of dtype complex128"),
    ],
)
def test_a_model_whose_answers_are_unusable_is_refused(settings, output, message, monkeypatch):
    monkeypatch.setattr(Wrong, "predict", lambda self, rows: output)

    with pytest.raises(RegistrationRefused, match=message):
        register("wrong", Wrong(), X[:2], settings=settings, trust_types=own_types(Wrong))


def test_own_types_are_approved_by_name_and_kept_with_the_version(settings, monkeypatch):
    monkeypatch.setattr(Wrong, "predict", lambda self, rows: [0] * len(rows))
    [name] = own_types(Wrong)
    with pytest.raises(RegistrationRefused, match=rf"nobody approved: {name}\. .*trust_types=\['{name}'\]"):
        register("own", Wrong(), X, settings=settings)

    version = register("own", Wrong(), X, settings=settings, trust_types=[name])

    assert version.trusted_types == (name,)
    assert load(version, settings).call(Method.PREDICT, X) == [0] * len(X)


def test_loaded_models_do_not_start_processes_of_their_own(settings):
    members = [("forest", RandomForestClassifier(3, n_jobs=-1)), ("logistic", LogisticRegression(max_iter=500))]
    stack = StackingClassifier(members, n_jobs=2, cv=2).fit(X, Y)

    model = load(register("stack", stack, X, settings=settings), settings)

    found = [vars(part)["n_jobs"] for part in parts(model.estimator) if "n_jobs" in getattr(part, "__dict__", {})]
    assert len(found) > 3
    assert set(found) == {1}
    assert stack.n_jobs == 2


# Files.


def save(estimator, path):
    if path.suffix == ".skops":
        skops.io.dump(estimator, path)
    else:
        joblib.dump(estimator, path)
    return path


@pytest.mark.parametrize("suffix", ["skops", "joblib", "pkl", "pickle"])
@pytest.mark.parametrize(("rows", "layout"), [(X, Layout.MATRIX), (FRAME, Layout.FRAME)])
def test_a_file_without_a_sample_has_a_numeric_signature(settings, tmp_path, suffix, rows, layout):
    path = save(logistic(rows), tmp_path / f"model.{suffix}")

    version = register_file("iris", path, trust_pickle=suffix != "skops", settings=settings)

    model = load(version, settings)
    assert (model.signature.layout, len(model.signature.columns)) == (layout, 4)
    assert version.digest in version.uri
    assert (
        model.call("predict", model.inputs([model.signature.check(rows).json])) == logistic(rows).predict(rows).tolist()
    )


def test_a_sample_in_a_csv_file_gives_names_and_strings(settings, tmp_path):
    estimator, sample, _ = cases()["mixed"]
    sample.to_csv(tmp_path / "sample.csv", index=False)
    path = save(estimator, tmp_path / "model.skops")

    model = load(register_file("mixed", path, sample=tmp_path / "sample.csv", settings=settings), settings)

    assert model.signature.names == tuple(sample.columns)
    answers = model.call("predict_proba", model.inputs([model.signature.check(sample).json]))
    assert answers == estimator.predict_proba(sample).tolist()


def test_a_text_models_sample_in_a_csv_file(settings, tmp_path):
    estimator, texts, _ = cases()["texts"]
    pd.DataFrame({"document": texts}).to_csv(tmp_path / "sample.csv", index=False)
    path = save(estimator, tmp_path / "model.skops")

    version = register_file("texts", path, sample=str(tmp_path / "sample.csv"), settings=settings)

    assert signature_of(version).layout is Layout.TEXTS


@pytest.mark.parametrize("case", ["texts", "mixed", "objects"])
def test_models_that_take_strings_need_a_sample(settings, tmp_path, case):
    path = save(cases()[case][0], tmp_path / "model.skops")

    with pytest.raises(RegistrationRefused, match=r"give a sample \(`--sample data.csv`\)"):
        register_file("model", path, settings=settings)


def test_files_that_cannot_be_read_are_refused(settings, tmp_path):
    with pytest.raises(RegistrationRefused, match=r"model\.onnx: expected a file that ends with \.skops, \.joblib"):
        register_file("model", tmp_path / "model.onnx", settings=settings)
    with pytest.raises(RegistrationRefused, match="cannot be read: No such file"):
        register_file("model", tmp_path / "model.skops", settings=settings)
    path = save(logistic(), tmp_path / "model.skops")
    with pytest.raises(RegistrationRefused, match="cannot be read as CSV"):
        register_file("model", path, sample=tmp_path / "none.csv", settings=settings)


@pytest.mark.parametrize("suffix", ["skops", "joblib", "pkl"])
def test_a_file_of_another_scikit_learn_is_refused(settings, tmp_path, monkeypatch, suffix):
    with monkeypatch.context() as forged:
        forged.setattr("sklearn.base.__version__", "1.2.3")
        path = save(make_pipeline(StandardScaler(), logistic()).fit(X, Y), tmp_path / f"model.{suffix}")

    with pytest.raises(RegistrationRefused, match=r"written by scikit-learn 1\.2\.3, here runs"):
        register_file("old", path, trust_pickle=suffix != "skops", settings=settings)


def test_a_skew_after_registration_is_reported_and_still_loads(settings, monkeypatch):
    with monkeypatch.context() as forged:
        forged.setattr("sklearn.base.__version__", "1.2.3")
        forged.setattr("sklearn.__version__", "1.2.3")
        version = register("iris", logistic(), X, settings=settings)
    assert version.sklearn_version == "1.2.3"

    model = load(version, settings)

    [warning] = model.warnings
    assert warning.startswith("model_version_skew: fitted with scikit-learn 1.2.3, running ")
    assert model.call("predict", X) == logistic().predict(X).tolist()
