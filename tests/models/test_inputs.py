"""Jobs that were accepted for one version and run on another: answered rightly, or refused as invalid input."""

import numpy as np
import pandas as pd
import pytest

from inferq_core.columns import Column, Kind, Layout
from inferq_core.errors import InvalidInput
from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_models.inputs import build


def signature(layout, *columns):
    return Signature(layout, columns, (Method.PREDICT,))


def number(name=None, *, nullable=False, dtype="float64"):
    return Column(name, Kind.NUMERIC, dtype, nullable)


AB = signature(Layout.FRAME, number("a"), number("b"))
BA = signature(Layout.FRAME, number("b"), number("a"))
AC = signature(Layout.FRAME, number("a"), number("c"))
STRING_A = signature(Layout.FRAME, Column("a", Kind.CATEGORICAL, "str"), number("b"))
TWO = signature(Layout.MATRIX, number(), number())
THREE = signature(Layout.MATRIX, number(), number(), number())
HOLES = signature(Layout.MATRIX, number(nullable=True), number())
TEXTS = signature(Layout.TEXTS, Column(None, Kind.TEXT, "str"))
OBJECTS = signature(Layout.OBJECTS, Column(None, Kind.CATEGORICAL, "object"), number())


def test_columns_in_another_order_are_put_right():
    texts = [AB.check({"a": 1, "b": 2}).json, BA.check([[4, 3]]).json]

    pd.testing.assert_frame_equal(build(AB, texts), pd.DataFrame({"a": [1.0, 3.0], "b": [2.0, 4.0]}))


@pytest.mark.parametrize(
    ("accepted", "rows", "running", "message"),
    [
        (AB, [[1, 2]], AC, r"the job has columns \['a', 'b'\], this version takes \['a', 'c'\]"),
        (AB, [[1, 2]], TWO, "have names, but this version takes them by position"),
        (TWO, [[1, 2]], AB, "have no names, but this version takes named columns"),
        (TWO, [[1, 2]], THREE, "have 2 features, this version takes 3"),
        (THREE, [[1, 2, 3]], TWO, "have 3 features, this version takes 2"),
        (HOLES, [[None, 2]], TWO, "column 0: this version takes no missing values"),
        (AB, [[1, 2]], STRING_A, "column 'a': this version takes a string here"),
        (STRING_A, [["1.5", 2]], AB, "column 'a': this version takes a number here"),
        (OBJECTS, [["1.5", 2]], TWO, "column 0: this version takes a number here"),
        (TEXTS, "1.5", TWO, "have a text features, this version takes 2"),
        (TWO, [[1, 2]], TEXTS, "column 0: this version takes a string here"),
    ],
)
def test_rows_that_the_running_version_does_not_take_are_invalid_input(accepted, rows, running, message):
    with pytest.raises(InvalidInput, match=message):
        build(running, [accepted.check(rows).json])


def test_one_job_for_another_version_does_not_slip_into_a_batch():
    with pytest.raises(InvalidInput, match="have 2 features, this version takes 3"):
        build(THREE, [THREE.check([[1, 2, 3]]).json, TWO.check([[1, 2]]).json])


def test_missing_numbers_are_nan_again():
    matrix = build(HOLES, [HOLES.check([[None, 2], [3, 4]]).json])

    np.testing.assert_array_equal(matrix, [[np.nan, 2], [3, 4]])
    assert matrix.flags.c_contiguous


def test_whole_numbers_become_integers_again_unless_one_is_not_whole():
    ages = signature(Layout.FRAME, number("age", dtype="int64", nullable=True))

    assert build(ages, [ages.check([[40], [2**62 + 1], [41.0]]).json])["age"].tolist() == [40, 2**62 + 1, 41]
    assert str(build(ages, [ages.check([[40]]).json])["age"].dtype) == "int64"
    assert build(ages, [ages.check([[40], [3.5]]).json])["age"].tolist() == [40.0, 3.5]
    assert build(ages, [ages.check([[1e300]]).json])["age"].tolist() == [1e300]
    assert np.isnan(build(ages, [ages.check([[40], [None]]).json])["age"][1])


def test_a_new_category_is_appended_to_the_known_ones():
    grades = signature(Layout.FRAME, Column("grade", Kind.CATEGORICAL, "category", categories=("low", "high")))

    grade = build(grades, [grades.check([["new"], ["high"]]).json])["grade"]

    assert grade.cat.categories.tolist() == ["low", "high", "new"]
    assert grade.tolist() == ["new", "high"]
