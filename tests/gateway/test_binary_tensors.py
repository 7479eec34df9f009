"""Elements as bytes and back, and arbitrary bytes."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inferq.gateway.binary_tensors import DTYPES, decoded, encoded
from inferq_core.errors import InvalidInput


@given(st.lists(st.text()))
def test_texts_come_back(texts):
    assert decoded("x", "BYTES", len(texts), memoryview(encoded("BYTES", texts))) == texts


@pytest.mark.parametrize("datatype", DTYPES)
@given(data=st.data())
def test_numbers_come_back(datatype, data):
    dtype = np.dtype(np.bool_ if datatype == "BOOL" else DTYPES[datatype])
    elements = data.draw(arrays.arrays(dtype, st.integers(0, 20)))
    offset = data.draw(st.integers(0, 7))
    text = bytes(offset) + encoded(datatype, elements.tolist())
    got = decoded("x", datatype, len(elements), memoryview(text)[offset:])
    np.testing.assert_array_equal(got, elements)
    assert got.flags.aligned


@given(st.sampled_from([*DTYPES, "BYTES"]), st.integers(0, 20), st.binary(max_size=60))
def test_arbitrary_bytes_are_elements_or_refused(datatype, count, data):
    with suppress(InvalidInput):
        assert len(decoded("x", datatype, count, memoryview(data))) == count
