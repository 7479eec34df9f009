"""Rows from files, read as the model's columns take them."""

import pytest

from inferq import InvalidInput, Method
from inferq.cli.rows import read_rows
from inferq_core.columns import Column, Kind, Layout
from inferq_core.signature import Signature


def signature(layout, *columns):
    return Signature(layout=layout, columns=columns, methods=(Method.PREDICT,))


PEOPLE = signature(
    Layout.FRAME,
    Column("age", Kind.NUMERIC, "float64", nullable=True),
    Column("zip", Kind.CATEGORICAL, "str"),
    Column("member", Kind.NUMERIC, "bool"),
)
PAIRS = signature(Layout.MATRIX, Column(None, Kind.NUMERIC, "float64"), Column(None, Kind.NUMERIC, "float64"))
TEXTS = signature(Layout.TEXTS, Column(None, Kind.TEXT, "str"))


@pytest.fixture
def read(tmp_path):
    def from_text(name, text, model):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return list(read_rows(tmp_path / name, model))

    return from_text


def test_named_columns_come_in_the_order_of_the_header(read):
    rows = read("people.csv", "\ufeffzip,age,member\n01234,5,true\n98765,,0\n", PEOPLE)
    assert rows == [{"zip": "01234", "age": 5, "member": True}, {"zip": "98765", "age": None, "member": False}]


def test_columns_by_position_need_no_header(read):
    assert read("pairs.csv", "1,2\n3,4.5\n", PAIRS) == [[1, 2], [3, 4.5]]
    assert read("pairs.csv", "left,right\n1,2\n", PAIRS) == [[1, 2]]


def test_texts_keep_commas_and_line_breaks(read):
    assert read("texts.csv", '"a, b"\n"two\nlines"\n', TEXTS) == ["a, b", "two\nlines"]


def test_lines_of_json(read):
    assert read("rows.ndjson", '[1, 2]\n\n{"age": 3}\n"text"\n', PAIRS) == [[1, 2], {"age": 3}, "text"]


def test_an_empty_file_has_no_rows(read):
    assert read("rows.csv", "", PEOPLE) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.csv", "1,2\n3\n", "line 2: expected 2 cells, got 1"),
        ("rows.ndjson", "[1, 2]\n[1,\n", "line 2: not JSON"),
    ],
)
def test_a_damaged_line_is_named(read, name, text, message):
    with pytest.raises(InvalidInput, match=message):
        read(name, text, PAIRS)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"caf\xe9,1\n")
    with pytest.raises(InvalidInput, match=r"rows\.csv"):
        list(read_rows(tmp_path / "rows.csv", PAIRS))
