"""Rows from files, read as the model's columns take them."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from inferq import InvalidInput, Method
from inferq.cli.row_files import open_rows
from inferq.sources.rows import BLOCK_BYTES, BLOCK_ROWS
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


def rows_of(file):
    return [row.tolist() if hasattr(row, "tolist") else row for block in file.reader.blocks() for row in block.rows]


@pytest.fixture
def read(tmp_path):
    def from_text(name, text, model):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return rows_of(open_rows(tmp_path / name, model))

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
        ("rows.csv", f'1,2\n"{"9" * 200_000}",2\n', "line 2: field larger than field limit"),
        ("rows.ndjson", "[1, 2]\n[1,\n", "line 2: not JSON"),
    ],
)
def test_a_damaged_line_is_named(read, name, text, message):
    with pytest.raises(InvalidInput, match=message):
        read(name, text, PAIRS)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"caf\xe9,1\n")
    with pytest.raises(InvalidInput, match=r"rows\.csv"):
        rows_of(open_rows(tmp_path / "rows.csv", PAIRS))


def test_a_column_that_is_there_twice_is_refused(read):
    with pytest.raises(InvalidInput, match="line 1: column 'age' is there more than once"):
        read("people.csv", "age,zip,age,member\n1,2,3,true\n", PEOPLE)


def test_empty_cells_of_float_columns_are_missing_where_they_may_be(read):
    model = signature(
        Layout.FRAME,
        Column("age", Kind.NUMERIC, "float64", nullable=True),
        Column("bmi", Kind.NUMERIC, "float64"),
    )
    rows = read("people.csv", "bmi,age\n20.5,\n21,3\n", model)
    assert [[str(value) for value in row] for row in rows] == [["nan", "20.5"], ["3.0", "21.0"]]
    assert read("people.csv", "bmi,age\n,3\n", model) == [{"bmi": None, "age": 3}]


@pytest.mark.parametrize("length", [1, 1_000])
@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_a_file_is_read_in_blocks_of_bounded_size(tmp_path, suffix, length):
    path = tmp_path / f"texts.{suffix}"
    texts = [f"{number:010}" * length for number in range(5_000 // length + 495)]
    if suffix == "parquet":
        parquet.write_table(pa.table({"text": texts}), path)
    else:
        path.write_text("".join(f'"{text}"\n' for text in texts))
    blocks = list(open_rows(path, TEXTS).reader.blocks())
    assert [row for block in blocks for row in block.rows] == texts
    for block in blocks:
        assert len(block.rows) <= BLOCK_ROWS
        assert sum(map(len, block.rows)) <= BLOCK_BYTES + 100_000


def test_places_are_lines_even_when_texts_have_several(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text('a\n"b\nc"\n\nd\n')
    (block,) = open_rows(path, TEXTS).reader.blocks()
    assert list(block.places) == [1, 3, 5]


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ({"a": pa.array([1, None], pa.int64()), "b": [1.5, 2.5]}, [[1.0, 1.5], [np.nan, 2.5]]),
        ({"a": pa.array([True, False]), "b": [1.5, 2.5]}, [[True, 1.5], [False, 2.5]]),
        ({"a": pa.array([2**24 + 1, 1], pa.int32()), "b": pa.array([0.5, 1], pa.float32())}, [[16777217, 0.5], [1, 1]]),
        ({"a": ["x", "y"], "b": [1.5, 2.5]}, [["x", 1.5], ["y", 2.5]]),
        ({"a": [1.0]}, [[1.0]]),
    ],
)
def test_parquet_by_position(tmp_path, columns, rows):
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    read = rows_of(open_rows(tmp_path / "rows.parquet", PAIRS))
    np.testing.assert_equal(read, rows)


def test_parquet_by_name(tmp_path):
    parquet.write_table(pa.table({"zip": ["01234"], "age": [5.5], "member": [True]}), tmp_path / "rows.parquet")
    assert rows_of(open_rows(tmp_path / "rows.parquet", PEOPLE)) == [{"zip": "01234", "age": 5.5, "member": True}]
