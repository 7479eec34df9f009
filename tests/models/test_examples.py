"""Every example, from fitting to predictions through JSON: what a worker answers is what scikit-learn answers."""

import numpy as np
import orjson
import pandas as pd
import pytest

from inferq_core.errors import InvalidInput
from inferq_core.settings import Settings
from inferq_models import register
from inferq_models.examples import BUILDERS
from inferq_models.loader import load


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def example_and_model(request, tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    example = BUILDERS[request.param]()
    version = register(example.name, example.estimator, example.X_train, example.y_train, settings=settings)
    return example, load(version, settings)


@pytest.fixture(scope="module")
def example(example_and_model):
    return example_and_model[0]


@pytest.fixture(scope="module")
def model(example_and_model):
    return example_and_model[1]


def as_jobs(rows):
    """The rows one by one, in each form that a caller may have them in."""
    if isinstance(rows, pd.DataFrame):
        records = rows.to_dict(orient="records")
        forms = (lambda i: records[i], lambda i: rows.iloc[[i]], lambda i: list(records[i].values()))
    elif isinstance(rows, list):
        forms = (lambda i: rows[i], lambda i: [rows[i]])
    else:
        forms = (lambda i: rows[i], lambda i: rows[i : i + 1], lambda i: rows[i].tolist(), lambda i: [list(rows[i])])
    return [forms[i % len(forms)](i) for i in range(len(rows))]


def answers_of(estimator, method, rows):
    return np.asarray(getattr(estimator, method)(rows)).tolist()


def test_a_batch_of_single_rows_equals_the_offline_prediction_exactly(example, model):
    texts = [model.signature.check(job).json for job in as_jobs(example.X_test)]

    rows = model.inputs(texts)

    assert len(rows) == len(example.X_test)
    for method in model.signature.methods:
        answers = orjson.loads(orjson.dumps(model.call(method, rows)))
        assert answers == answers_of(example.estimator, method, example.X_test)


def test_one_job_of_many_rows_equals_the_offline_prediction_exactly(example, model):
    checked = model.signature.check(example.X_test)

    assert checked.n_rows == len(example.X_test)
    for method in model.signature.methods:
        answers = model.call(method, model.inputs([checked.json]))
        assert answers == answers_of(example.estimator, method, example.X_test)


def test_the_model_is_worth_showing(example):
    assert example.estimator.score(example.X_test, example.y_test) > (0.3 if example.name == "diabetes" else 0.85)


def test_building_twice_gives_the_same_model(example):
    again = BUILDERS[example.name]()

    assert list(again.y_test) == list(example.y_test)
    assert again.estimator.predict(again.X_test).tolist() == example.estimator.predict(example.X_test).tolist()


def test_classes_are_those_of_the_estimator(example, model):
    classes = getattr(example.estimator, "classes_", None)

    assert model.signature.classes == (None if classes is None else tuple(classes.tolist()))


def first_row(example):
    return example.X_test.iloc[0].to_dict() if isinstance(example.X_test, pd.DataFrame) else list(example.X_test[0])


def refusals(example):
    """What bar 5 lists, for the layout of the example: rows and a part of the message."""
    row = first_row(example)
    if isinstance(example.X_test, list):
        return [([], "no rows"), ([3], "row 0: expected a string, got 3"), ([["a", "b"]], "expected 1 feature, got 2")]
    if isinstance(row, dict):
        number = next(name for name, value in row.items() if isinstance(value, float))
        lacking = {name: value for name, value in row.items() if name != number}
        return [
            ([], "no rows"),
            ([list(row.values())[1:]], f"row 0: expected {len(row)} features, got {len(row) - 1}"),
            (lacking, f"row 0: column {number!r} is missing"),
            (row | {"spare": 1}, "column 'spare' (str) is unknown"),
            ([row, row | {number: "many"}], f"row 1, column {number!r}: expected a number"),
            (row | {number: float("inf")}, f"row 0, column {number!r}: expected a finite number"),
        ]
    return [
        ([], "no rows"),
        (row[1:], f"row 0: expected {len(row)} features, got {len(row) - 1}"),
        ([row, [*row, 1]], f"row 1: expected {len(row)} features, got {len(row) + 1}"),
        ([row, ["one", *row[1:]]], "row 1, column 0: expected a number"),
        ([[float("-inf"), *row[1:]]], "row 0, column 0: expected a finite number"),
        ({"a": 1}, "this model's columns have no names"),
    ]


def test_wrong_rows_are_refused_with_expected_and_got(example, model):
    for rows, message in refusals(example):
        with pytest.raises(InvalidInput) as caught:
            model.signature.check(rows)
        assert message in str(caught.value)


def test_nan_is_refused_exactly_where_the_estimator_refuses_it(example, model):
    if isinstance(example.X_test, list):
        return
    frame = pd.DataFrame(example.X_test)
    for place, column in enumerate(model.signature.columns):
        holed = frame.iloc[[0]].astype(object)
        holed.iloc[0, place] = np.nan
        if column.nullable:
            assert len(model.call("predict", model.inputs([model.signature.check(holed).json]))) == 1
        else:
            with pytest.raises(InvalidInput, match="this model takes no missing values here"):
                model.signature.check(holed)
            named = isinstance(example.X_test, pd.DataFrame)
            with pytest.raises(ValueError, match="NaN"):
                example.estimator.predict(holed.astype(float) if named else holed.to_numpy(dtype=float))


def test_bar_five_has_models_that_take_no_nan():
    assert {"breast-cancer", "diabetes"} <= BUILDERS.keys()
