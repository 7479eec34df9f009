"""Rows against a signature: what is taken, what is stored, and what each refusal says."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferq_core.columns import Column, Kind, Layout
from inferq_core.errors import ArtifactRejected, InvalidInput
from inferq_core.signature import Signature
from inferq_core.states import Method


def number(name: str | None = None, *, nullable: bool = False, dtype: str = "float64") -> Column:
    return Column(name, Kind.NUMERIC, dtype, nullable)


def signature(layout: Layout, *columns: Column) -> Signature:
    return Signature(layout, columns, (Method.PREDICT,))


MATRIX = signature(Layout.MATRIX, number(), number(), number(nullable=True))
ONE = signature(Layout.MATRIX, number())
NAMED = signature(Layout.FRAME, number("age"), number("bmi"))
MIXED = signature(
    Layout.FRAME,
    number("age", dtype="int64"),
    number("smoker", dtype="bool"),
    Column("city", Kind.CATEGORICAL, "str", nullable=True),
    Column("grade", Kind.CATEGORICAL, "category", categories=("low", "high")),
)
OBJECTS = signature(Layout.OBJECTS, number(), Column(None, Kind.CATEGORICAL, "object"))
TEXTS = signature(Layout.TEXTS, Column(None, Kind.TEXT, "str"))
ALL = [MATRIX, ONE, NAMED, MIXED, OBJECTS, TEXTS]

MIXED_ROW = {"age": 40, "smoker": True, "city": "Bern", "grade": "low"}
MIXED_JSON = '{"columns":["age","smoker","city","grade"],"rows":[[40,true,"Bern","low"]]}'


@pytest.mark.parametrize(
    ("model", "rows", "stored"),
    [
        (MATRIX, [[1, 2.5, 3]], "[[1.0,2.5,3.0]]"),
        (MATRIX, ((1, 2, 3), (4, 5, 6)), "[[1.0,2.0,3.0],[4.0,5.0,6.0]]"),
        (MATRIX, [1, 2, 3], "[[1.0,2.0,3.0]]"),
        (MATRIX, np.arange(3), "[[0.0,1.0,2.0]]"),
        (MATRIX, np.arange(6, dtype=np.float32).reshape(2, 3), "[[0.0,1.0,2.0],[3.0,4.0,5.0]]"),
        (MATRIX, np.asfortranarray(np.arange(6.0).reshape(2, 3)), "[[0.0,1.0,2.0],[3.0,4.0,5.0]]"),
        (MATRIX, np.arange(3, dtype=">f8"), "[[0.0,1.0,2.0]]"),
        (MATRIX, [np.arange(3.0), [3, 4, 5]], "[[0.0,1.0,2.0],[3.0,4.0,5.0]]"),
        (MATRIX, [[True, False, 1]], "[[1.0,0.0,1.0]]"),
        (MATRIX, [[1, 2, None]], "[[1.0,2.0,null]]"),
        (MATRIX, [[1, 2, math.nan]], "[[1.0,2.0,null]]"),
        (MATRIX, np.array([[1, 2, None]], dtype=object), "[[1.0,2.0,null]]"),
        (MATRIX, [[10**30, 2, None]], "[[1e+30,2.0,null]]"),
        (MATRIX, pd.DataFrame([[1, 2, 3]]), "[[1.0,2.0,3.0]]"),
        (ONE, [7], "[[7.0]]"),
        (ONE, [[7], [8]], "[[7.0],[8.0]]"),
        (NAMED, {"bmi": 2.0, "age": 1.0}, '{"columns":["age","bmi"],"rows":[[1.0,2.0]]}'),
        (NAMED, OrderedDict(bmi=2, age=1), '{"columns":["age","bmi"],"rows":[[1.0,2.0]]}'),
        (NAMED, [[1.0, 2.0]], '{"columns":["age","bmi"],"rows":[[1.0,2.0]]}'),
        (NAMED, [1.0, 2.0], '{"columns":["age","bmi"],"rows":[[1.0,2.0]]}'),
        (NAMED, pd.DataFrame({"bmi": [2.0], "age": [1]}), '{"columns":["age","bmi"],"rows":[[1.0,2.0]]}'),
        (NAMED, pd.DataFrame({"bmi": [2.0], "age": [1]}).iloc[0], '{"columns":["age","bmi"],"rows":[[1.0,2.0]]}'),
        (MIXED, MIXED_ROW, MIXED_JSON),
        (MIXED, [tuple(MIXED_ROW.values())], MIXED_JSON),
        (MIXED, pd.DataFrame([MIXED_ROW]), MIXED_JSON),
        (MIXED, pd.DataFrame([MIXED_ROW]).astype({"age": "Int64", "grade": "category"}), MIXED_JSON),
        (MIXED, pd.DataFrame([MIXED_ROW | {"city": None}]), MIXED_JSON.replace('"Bern"', "null")),
        (MIXED, MIXED_ROW | {"age": 2**62 + 1}, MIXED_JSON.replace("40", str(2**62 + 1))),
        (OBJECTS, [[1, "a"], [2.5, "b"]], '[[1.0,"a"],[2.5,"b"]]'),
        (OBJECTS, np.array([[1, "a"]], dtype=object), '[[1.0,"a"]]'),
        (TEXTS, "one", '["one"]'),
        (TEXTS, ["one", "zwei ö"], '["one","zwei ö"]'),
        (TEXTS, np.array(["one", "two"]), '["one","two"]'),
        (TEXTS, pd.Series(["one", "two"]), '["one","two"]'),
        (TEXTS, pd.DataFrame({"doc": ["one", "two"]}), '["one","two"]'),
    ],
)
def test_rows_are_stored_in_the_models_order(model: Signature, rows: Any, stored: str) -> None:
    checked = model.check(rows)

    assert checked.json == stored
    decoded = orjson.loads(stored)
    assert checked.n_rows == len(decoded["rows"] if model.named else decoded)


@pytest.mark.parametrize(
    ("model", "rows", "message"),
    [
        (MATRIX, [[1, 2]], "row 0: expected 3 features, got 2"),
        (MATRIX, [[1, 2, 3], [1, 2, 3, 4]], "row 1: expected 3 features, got 4"),
        (MATRIX, np.zeros((5, 4)), "row 0: expected 3 features, got 4"),
        (MATRIX, [1, 2], "row 0: expected 3 features, got 2"),
        (ONE, [1, 2], "row 0: expected 1 feature, got 2"),
        (MATRIX, [], "no rows: expected at least one row, got an empty input"),
        (MATRIX, np.empty((0, 3)), "no rows"),
        (MATRIX, np.array([]), "no rows"),
        (MATRIX, [[]], "row 0: expected 3 features, got 0"),
        (TEXTS, [], "no rows"),
        (MATRIX, [[1, 2, 3], [1, "2", 3]], "row 1, column 1: expected a number, got '2' (str)"),
        (MATRIX, [[1, math.nan, 3]], "row 0, column 1: expected a finite number (this model takes no missing values"),
        (
            MATRIX,
            [[1, None, 3]],
            "row 0, column 1: expected a number (this model takes no missing values here), got nu",
        ),
        (MATRIX, [[1, 2, 3], [1, 2, math.inf]], "row 1, column 2: expected a finite number or null, got inf (float)"),
        (MATRIX, [[1, -(10**400), 3]], "row 0, column 1: expected a finite number, got inf"),
        (MATRIX, [[1, [2], 3]], "row 0, column 1: expected a number, got a value of type list"),
        (MATRIX, [[1, 2j, 3]], "row 0, column 1: expected a number, got a value of type complex"),
        (MATRIX, np.array([[1, {}, 3]], dtype=object), "row 0, column 1: expected a number, got a value of type dict"),
        (
            MATRIX,
            np.zeros((2, 3), dtype="datetime64[s]"),
            "row 0, column 0: expected a number, got a value of type dat",
        ),
        (MATRIX, np.zeros((1, 1, 3)), "expected an array of shape (n_rows, n_features), got shape (1, 1, 3)"),
        (MATRIX, np.float64(3), "expected an array of shape"),
        (MATRIX, np.ma.masked_less(np.arange(3.0), 1), "a masked array hides some values"),
        (MATRIX, [[1, 2, 3], 4], "row 1: expected 3 features, got 4 (int)"),
        (MATRIX, {"a": 1}, "this model's columns have no names: expected rows of 3 features, got a dict"),
        (MATRIX, "1,2,3", "expected a list of rows, a 2-D array or a DataFrame, got '1,2,3' (str)"),
        (MATRIX, None, "expected a list of rows, a 2-D array or a DataFrame, got null"),
        (MATRIX, iter([[1, 2, 3]]), "got a value of type list_iterator"),
        (NAMED, {"age": 1}, "row 0: column 'bmi' is missing. Expected 2 columns ('age', 'bmi'), got 1"),
        (
            NAMED,
            [{"age": 1, "bmi": 2}, {"age": 1, "bni": 2}],
            "row 1: column 'bmi' is missing; column 'bni' (str) is unkn",
        ),
        (NAMED, {"age": 1, "bmi": 2, "agee": 3}, "column 'agee' (str) is unknown (did you mean 'age'?)"),
        (NAMED, pd.DataFrame({"age": [1]}), "the DataFrame: column 'bmi' is missing"),
        (NAMED, pd.DataFrame([[1, 2, 3]], columns=["age", "bmi", "age"]), "column 'age' more than once"),
        (NAMED, [{"age": 1, "bmi": 2}, [1, 2]], "row 1: expected a dict like the other rows, got a value of type list"),
        (NAMED, {"age": 1, "bmi": "x" * 500}, f"row 0, column 'bmi': expected a number, got '{'x' * 58}…"),
        (NAMED, {"age": [1, 2], "bmi": [3, 4]}, "row 0, column 'age': expected a number, got a value of type list"),
        (MIXED, MIXED_ROW | {"city": 3}, "row 0, column 'city': expected a string or null, got 3 (int)"),
        (MIXED, MIXED_ROW | {"grade": None}, "row 0, column 'grade': expected a string (this model takes no missing"),
        (MIXED, MIXED_ROW | {"smoker": 2}, "row 0, column 'smoker': expected true or false, got 2 (int)"),
        (MIXED, MIXED_ROW | {"city": "\ud800"}, "row 0, column 'city': expected valid Unicode"),
        (TEXTS, ["a", 3], "row 1: expected a string, got 3 (int)"),
        (TEXTS, [None], "row 0: expected a string, got null"),
        (TEXTS, b"bytes", "expected a str or a list of str, got a value of type bytes"),
        (TEXTS, {"text": "a"}, "this model's columns have no names"),
    ],
)
def test_refusal_names_row_column_expected_and_got(model: Signature, rows: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        model.check(rows)

    assert message in str(caught.value)


def test_more_rows_than_allowed_are_refused() -> None:
    with pytest.raises(InvalidInput, match="11 rows in one job, at most 10"):
        ONE.check(np.zeros((11, 1)), max_rows=10)

    assert ONE.check(np.zeros((10, 1)), max_rows=10).n_rows == 10


@given(st.lists(st.tuples(st.floats(allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))))
def test_every_float64_comes_back_bit_for_bit(pairs: list[tuple[float, float]]) -> None:
    model = signature(Layout.MATRIX, number(nullable=True), number())
    if not pairs:
        return
    for rows in (pairs, np.array(pairs), [list(pair) for pair in pairs]):
        back = np.array(orjson.loads(model.check(rows).json), dtype=np.float64)
        np.testing.assert_array_equal(
            back.view(np.int64)[~np.isnan(back)], np.array(pairs).view(np.int64)[~np.isnan(back)]
        )
        np.testing.assert_array_equal(np.isnan(back), np.isnan(np.array(pairs)))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_every_float32_keeps_its_value(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32).reshape(-1, 1)

    back = np.array(orjson.loads(ONE.check(array).json))

    assert (back == array.astype(np.float64)).all()


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(), max_size=5)
    | st.complex_numbers()
    | st.binary(max_size=3)
    | st.sampled_from(
        [np.float32("nan"), np.int64(3), np.bool_(True), np.datetime64("2020-01-01"), pd.NA, pd.NaT, object()]
    )
)
names = st.sampled_from(["age", "bmi", "smoker", "city", "grade", "other", 3])
rows_of_all_sorts = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(names, inner, max_size=4)
        | st.lists(st.lists(scalars, min_size=2, max_size=4), min_size=1, max_size=3)
        | st.lists(st.floats(), min_size=1).map(np.array)
        | st.lists(st.dictionaries(names, scalars), min_size=1).map(pd.DataFrame)
    ),
    max_leaves=12,
)


@given(st.sampled_from(ALL), rows_of_all_sorts)
def test_whatever_comes_is_taken_or_refused_as_invalid_input(model: Signature, rows: Any) -> None:
    try:
        checked = model.check(rows)
    except InvalidInput:
        return

    decoded = orjson.loads(checked.json)
    stored = decoded["rows"] if model.named else decoded
    assert len(stored) == checked.n_rows >= 1
    again = [[text] for text in stored] if model.layout is Layout.TEXTS else stored
    assert model.check(again).json == checked.json


@pytest.mark.parametrize("model", ALL)
def test_signature_survives_json(model: Signature) -> None:
    assert Signature.from_json(model.to_json()) == model


def test_signature_of_a_newer_format_is_refused() -> None:
    text = MATRIX.to_json().replace('"format":1', '"format":2')

    with pytest.raises(ArtifactRejected, match=r"format 2.*upgrade inferq"):
        Signature.from_json(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format":1}', "null"])
def test_damaged_signature_is_refused(text: str) -> None:
    with pytest.raises(ArtifactRejected, match="cannot be read"):
        Signature.from_json(text)


class TestEach:
    """Many items at once are what they are one by one."""

    CELL = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.none(), st.sampled_from(["1", "x"]))
    ITEM = st.one_of(
        st.lists(CELL, max_size=4), st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=3), max_size=2), CELL
    )
    NAMED_ITEM = st.one_of(
        st.fixed_dictionaries({"bmi": st.floats(-9, 9), "age": st.integers(0, 99)}, optional={"x": st.none()}),
        st.lists(st.floats(-9, 9), min_size=2, max_size=2),
    )

    @staticmethod
    def one_by_one(model, items):
        try:
            return [model.check(item) for item in items]
        except InvalidInput:
            return None

    @given(st.lists(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3), min_size=1))
    def test_rows_of_numbers_are_taken(self, items):
        assert MATRIX.check_each(items) == self.one_by_one(MATRIX, items)
        assert MATRIX.check_each(np.array(items)) == self.one_by_one(MATRIX, items)

    @given(st.lists(ITEM, min_size=1, max_size=4))
    def test_whatever_comes_it_agrees_or_leaves_it(self, items):
        taken = MATRIX.check_each(items)
        assert taken is None or taken == self.one_by_one(MATRIX, items)

    @given(st.lists(NAMED_ITEM, min_size=1, max_size=4))
    def test_names_too(self, items):
        taken = NAMED.check_each(items)
        assert taken is None or taken == self.one_by_one(NAMED, items)

    def test_dicts_and_matrices_of_named_floats_are_taken(self):
        items = [{"bmi": 20.5, "age": 4}, {"age": 5, "bmi": 21}]
        assert NAMED.check_each(items) == self.one_by_one(NAMED, items)
        assert NAMED.check_each(np.array([[4, 20.5], [5, 21]])) == self.one_by_one(NAMED, items)

    @pytest.mark.parametrize(
        ("model", "items"),
        [(MATRIX, [[1, 2, 3], [1, 2]]), (MATRIX, [[1, None, 3]]), (ONE, [5]), (MIXED, [MIXED_ROW]), (TEXTS, ["a"])],
    )
    def test_the_rest_is_left_to_be_checked_one_by_one(self, model, items):
        assert model.check_each(items) is None
