"""Elements of a tensor as bytes: the binary tensor data extension of the Open Inference Protocol.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
Little-endian, row-major, without padding. An element of BYTES is its length in four bytes, then itself; here it is
UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferq_core.errors import InvalidInput

# What the server's metadata calls it.
EXTENSION = "binary_tensor_data"
DTYPES = {
    "BOOL": "u1",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}
_LENGTH = struct.Struct("<I")


def decoded(name: str, datatype: str, count: int, data: memoryview) -> NDArray[Any] | list[str]:
    """The elements of a tensor, (count,); a list for BYTES.

    Raises InvalidInput that names the tensor when the bytes are not `count` elements of the datatype.
    """
    if datatype == "BYTES":
        return _texts(name, count, data)
    dtype = np.dtype(DTYPES[datatype])
    if len(data) != count * dtype.itemsize:
        raise InvalidInput(
            f"tensor {name[:60]!r}: expected {count * dtype.itemsize} bytes ({count} elements of {datatype}), "
            f"got binary_data_size {len(data)}"
        )
    elements = np.frombuffer(data, dtype)
    if datatype == "BOOL":
        if count and elements.max() > 1:
            raise InvalidInput(f"tensor {name[:60]!r}: expected bytes 0 and 1 (BOOL), got {elements.max()}")
        return elements.astype(np.bool_)
    # A copy, because the bytes stand at any address; float16 is not what JSON is written from.
    return elements.astype(np.float32 if datatype == "FP16" else dtype.newbyteorder("="))


def encoded(datatype: str, data: Sequence[Any]) -> bytes:
    """The elements as bytes."""
    if datatype != "BYTES":
        return np.array(data, DTYPES[datatype]).tobytes()
    texts = [element.encode() for element in data]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))


def _texts(name: str, count: int, data: memoryview) -> list[str]:
    texts: list[str] = []
    place = 0
    while len(texts) < count and len(data) - place >= _LENGTH.size:
        [length] = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        left = len(data) - place
        if length > left:
            raise InvalidInput(f"tensor {name[:60]!r}: element {len(texts)} has {length} bytes, and {left} follow")
        try:
            texts.append(str(data[place : place + length], "utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidInput(f"tensor {name[:60]!r}: element {len(texts)} is not UTF-8 ({error.reason})") from None
        place += length
    left = len(data) - place
    if len(texts) != count or left:
        raise InvalidInput(
            f"tensor {name[:60]!r}: expected {count} elements of BYTES, got {len(texts)} and {left} bytes after them"
        )
    return texts
