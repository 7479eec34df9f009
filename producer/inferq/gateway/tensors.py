"""Tensors of the Open Inference Protocol, to rows and from outputs.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
A model of numbers by position, or of texts, takes one tensor; one of columns takes a tensor for each column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from inferq.gateway.binary_tensors import DTYPES, decoded
from inferq_core.columns import Column, Layout, Takes
from inferq_core.errors import InvalidInput
from inferq_core.rows import INT64_MAX
from inferq_core.signature import Signature
from inferq_core.states import Method

# What the one tensor of a model is called in its metadata; when there is one only, any name is taken.
ONLY = "input"
ANY = -1
_INTEGERS = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
_FLOATS = ("FP16", "FP32", "FP64")
# The least and the greatest number of a datatype. Every number of JSON is one of FP64.
_BOUNDS = {
    **_INTEGERS,
    **{name: (float(np.finfo(DTYPES[name]).min), float(np.finfo(DTYPES[name]).max)) for name in ("FP16", "FP32")},
}
_NUMBERS = (*_FLOATS, *_INTEGERS, "BOOL")
# The tensors' datatypes that fill a column, and the one that its metadata names.
_BY_DTYPE = {"float32": "FP32", "int64": "INT64", "bool": "BOOL"}

# What a model's signature checks.
Rows = list[Any] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor on its way in. `data`: flat in row-major order, or nested as `shape` says; or its bytes."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | memoryview


def inputs_of(signature: Signature) -> list[dict[str, Any]]:
    """The tensors that a model takes: name, datatype, shape."""
    if signature.layout is Layout.TEXTS:
        return [{"name": ONLY, "datatype": "BYTES", "shape": [ANY]}]
    if signature.layout is Layout.MATRIX:
        datatype = "FP32" if signature.dtype == "float32" else "FP64"
        return [{"name": ONLY, "datatype": datatype, "shape": [ANY, len(signature.columns)]}]
    return [
        {"name": name, "datatype": _datatype(column), "shape": [ANY]}
        for name, column in zip(_names(signature), signature.columns, strict=True)
    ]


def outputs_of(signature: Signature) -> list[dict[str, Any]]:
    """The tensors that a model gives, one for each of its methods."""
    return [_output(signature, method) for method in signature.methods]


def rows_of(signature: Signature, tensors: Sequence[Tensor]) -> Rows:
    """The rows of a request. Raises InvalidInput that names the tensor, what it takes and what came."""
    if signature.layout in (Layout.MATRIX, Layout.TEXTS):
        if len(tensors) != 1:
            raise InvalidInput(f"expected one tensor, got {len(tensors)}")
        [tensor] = tensors
        if signature.layout is Layout.TEXTS:
            return _column(tensor, ("BYTES",))
        _require(tensor, _NUMBERS)
        return _matrix(tensor, len(signature.columns))
    return _from_columns(signature, tensors)


def tensor_of(name: str, outputs: Sequence[Any]) -> dict[str, Any]:
    """A method's outputs, one for each row, as a tensor."""
    shape, flat = _unnested(outputs)
    kinds = set(map(type, flat))
    if shape is None or not kinds <= {bool, int, float, str} or (str in kinds and len(kinds) > 1):
        texts = [orjson.dumps(output).decode() for output in outputs]  # no tensor holds it: JSON, a text for each row
        return {"name": name, "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    if kinds == {str}:
        datatype = "BYTES"
    elif kinds == {bool}:
        datatype = "BOOL"
    elif kinds == {int}:
        datatype = "INT64" if max(flat) <= INT64_MAX else "UINT64"
    else:
        datatype = "FP64"
    return {"name": name, "datatype": datatype, "shape": shape, "data": flat}


def _from_columns(signature: Signature, tensors: Sequence[Tensor]) -> Rows:
    names = _names(signature)
    if len(tensors) == 1 and tensors[0].name not in names and _are_numbers(signature):
        _require(tensors[0], _NUMBERS)
        return _matrix(tensors[0], len(names))
    given = {tensor.name: tensor for tensor in tensors}
    missing = [name for name in names if name not in given]
    if missing or len(tensors) != len(names):
        expected = ", ".join(repr(name) for name in names[:40])
        got = ", ".join(repr(tensor.name)[:60] for tensor in tensors[:40])
        raise InvalidInput(f"expected the tensors {expected}, each once, got {got or 'none'}")
    columns = []
    for name, column in zip(names, signature.columns, strict=True):
        columns.append(_column(given[name], ("BYTES",) if column.takes is Takes.STRING else _NUMBERS))
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise InvalidInput(f"expected tensors of one length, got lengths {sorted(lengths)}")
    return [list(row) for row in zip(*columns, strict=True)]


def _are_numbers(signature: Signature) -> bool:
    return all(column.takes is not Takes.STRING for column in signature.columns)


def _matrix(tensor: Tensor, width: int) -> Rows:
    shape = list(tensor.shape)
    one_row = shape == [width]
    if not one_row and (len(shape) != 2 or shape[1] != width):  # noqa: PLR2004 - a matrix
        raise InvalidInput(f"{_named(tensor)}: expected shape [rows, {width}], got {shape}")
    flat = _flat(tensor)
    if isinstance(flat, np.ndarray):
        return flat.reshape(-1, width)
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _column(tensor: Tensor, datatypes: Sequence[str]) -> list[Any]:
    """The elements of a tensor that is one column."""
    _require(tensor, datatypes)
    shape = list(tensor.shape)
    if len(shape) != 1 and not (len(shape) == 2 and shape[1] == 1):  # noqa: PLR2004 - a column as a matrix
        raise InvalidInput(f"{_named(tensor)}: expected shape [rows] or [rows, 1], got {shape}")
    flat = _flat(tensor)
    return flat.tolist() if isinstance(flat, np.ndarray) else flat


def _require(tensor: Tensor, datatypes: Sequence[str]) -> None:
    if tensor.datatype not in datatypes:
        raise InvalidInput(f"{_named(tensor)}: expected one of {', '.join(datatypes)}, got {tensor.datatype}")


def _named(tensor: Tensor) -> str:
    return f"tensor {tensor.name[:60]!r}"


def _flat(tensor: Tensor) -> NDArray[Any] | list[Any]:
    """The elements in row-major order, as many as the shape says and of the datatype."""
    if isinstance(tensor.data, memoryview):
        return decoded(tensor.name, tensor.datatype, math.prod(tensor.shape), tensor.data)
    flat: list[Any] = list(tensor.data)
    for _ in tensor.shape[1:]:
        if not any(isinstance(item, list) for item in flat):
            break
        if not all(isinstance(item, list) for item in flat):
            raise InvalidInput(f"{_named(tensor)}: expected data of shape {list(tensor.shape)}, got a ragged one")
        flat = [element for item in flat for element in item]
    if len(flat) != math.prod(tensor.shape):
        raise InvalidInput(
            f"{_named(tensor)}: expected {math.prod(tensor.shape)} elements (shape {list(tensor.shape)}), "
            f"got {len(flat)}"
        )
    _check_elements(tensor, flat)
    return flat


def _check_elements(tensor: Tensor, flat: list[Any]) -> None:
    wanted: set[type]
    if tensor.datatype == "BYTES":
        wanted = {str, type(None)}
    elif tensor.datatype == "BOOL":
        wanted = {bool}
    elif tensor.datatype in _INTEGERS:
        wanted = {int}
    else:
        wanted = {int, float, type(None)}  # null: a missing value, which the model may take
    found = set(map(type, flat)) - wanted
    if found:
        got = ", ".join(sorted(kind.__name__ for kind in found))
        raise InvalidInput(f"{_named(tensor)}: expected elements of {tensor.datatype}, got {got}")
    given = [element for element in flat if element is not None]
    if tensor.datatype in _BOUNDS and given:
        least, most = _BOUNDS[tensor.datatype]
        if min(given) < least or max(given) > most:
            got = f"{min(given)} to {max(given)}"
            raise InvalidInput(f"{_named(tensor)}: expected {tensor.datatype} ({least} to {most}), got {got}")


def _names(signature: Signature) -> list[str]:
    return [column.name or f"column_{place}" for place, column in enumerate(signature.columns)]


def _datatype(column: Column) -> str:
    return "BYTES" if column.takes is Takes.STRING else _BY_DTYPE.get(column.dtype, "FP64")


def _output(signature: Signature, method: Method) -> dict[str, Any]:
    datatype, shape = "FP64", [ANY]
    if method is Method.PREDICT:
        kinds = set(map(type, signature.classes or ()))
        if kinds and kinds <= {str, bool, int}:
            datatype = "BYTES" if str in kinds else "INT64" if int in kinds else "BOOL"
        if signature.n_outputs > 1:
            shape = [ANY, signature.n_outputs]
    elif method is Method.PREDICT_PROBA:
        shape = [ANY, len(signature.classes) if signature.classes else ANY]
    elif method is Method.TRANSFORM:
        shape = [ANY, ANY]
    return {"name": method.value, "datatype": datatype, "shape": shape}


def _unnested(outputs: Sequence[Any]) -> tuple[list[int] | None, list[Any]]:
    """Shape and elements; no shape when it is ragged."""
    shape, flat = [len(outputs)], list(outputs)
    while flat and all(isinstance(item, list) for item in flat):
        widths = {len(item) for item in flat}
        if len(widths) > 1:
            return None, flat
        shape.append(widths.pop())
        flat = [element for item in flat for element in item]
    return shape, flat
