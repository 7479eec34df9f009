"""A signature of the store is data from outside: whatever is not one is refused."""

import orjson
import pytest

from inferq_core.columns import Column, Kind, Layout
from inferq_core.errors import ArtifactRejected
from inferq_core.signature import Signature
from inferq_core.states import Method

GOOD = Signature(
    Layout.FRAME,
    (Column("a", Kind.NUMERIC, "float64"), Column("b", Kind.CATEGORICAL, "category", categories=("x", "y"))),
    (Method.PREDICT,),
    classes=("no", "yes"),
)


def changed(place, value):
    document = orjson.loads(GOOD.to_json())
    *path, last = place
    node = document
    for step in path:
        node = node[step]
    node[last] = value
    return orjson.dumps(document).decode()


def test_a_signature_survives_the_store():
    assert Signature.from_json(GOOD.to_json()) == GOOD


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *[(["n_outputs"], value) for value in (-5, 0, 1e308, "1", None)],
        *[(["dtype"], value) for value in ("object", "{'a': 1}", None, ["float64"])],
        *[(["columns", 0, "dtype"], value) for value in ("O8", "datetime64[ns]", ["int64"])],
        *[(["columns", 0, "name"], value) for value in (5, [1])],
        *[(["columns", 1, "categories"], value) for value in ([[1]], "xy", {"x": 1})],
        *[(["classes"], value) for value in ([[1]], "ab", 7)],
        (["columns", 0], None),
        (["columns", 0], []),
        (["format"], None),
    ],
)
def test_what_is_no_signature_is_refused(place, value):
    with pytest.raises(ArtifactRejected, match="cannot be read"):
        Signature.from_json(changed(place, value))


@pytest.mark.parametrize("text", ["", "[]", "1", "null", "[" * 100_000])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(ArtifactRejected, match="cannot be read"):
        Signature.from_json(text)
