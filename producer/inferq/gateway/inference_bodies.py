"""Bodies of inference requests and their answers: JSON, and tensors as bytes after it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from inferq.gateway.binary_tensors import encoded
from inferq.gateway.bodies import JSON, decoded, parsed, read_bytes, require_type
from inferq.gateway.inference_schemas import InferInput, InferRequest
from inferq.gateway.problems import Fault, Kind, Problem, pointer, shown
from inferq.gateway.tensors import Tensor

# Bytes of the JSON in front of the tensors.
HEADER = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


async def read_inference(request: Request, max_bytes: int) -> tuple[InferRequest, list[Tensor]]:
    """The request and its tensors. Raises Problem: 400, 408, 413, 415 or 422."""
    _require_type(request)
    given = request.headers.getlist(HEADER)
    body = await read_bytes(request, max_bytes)
    length = len(body) if not given else _length(", ".join(given), len(body))
    asked = parsed(InferRequest, decoded(body[:length]))
    return asked, _tensors(asked.inputs, memoryview(body)[length:])


def inference_answer(document: dict[str, Any], tensors: Sequence[dict[str, Any]], binary: Sequence[bool]) -> Response:
    """The answer with these tensors, of which those that are `binary` follow the JSON as bytes."""
    outputs, pieces = [], []
    for tensor, as_bytes in zip(tensors, binary, strict=True):
        if not as_bytes:
            outputs.append(tensor)
            continue
        pieces.append(encoded(tensor["datatype"], tensor["data"]))
        parameters = tensor["parameters"] | {"binary_data_size": len(pieces[-1])}
        outputs.append({name: value for name, value in tensor.items() if name != "data"} | {"parameters": parameters})
    text = orjson.dumps(document | {"outputs": outputs})
    if not any(binary):
        return Response(text, media_type=JSON)
    return Response(b"".join((text, *pieces)), headers={HEADER: str(len(text))}, media_type=BINARY)


def _require_type(request: Request) -> None:
    """Triton's client names no type, or that of bytes for JSON as well. No page may ask that way (see ADR 16)."""
    unnamed = () if "origin" in request.headers else ("",)
    require_type(request, JSON, BINARY, *unnamed)


def _length(given: str, size: int) -> int:
    """Raises Problem."""
    if _NUMBER.fullmatch(given) and int(given) <= size:
        return int(given)
    expected = f"a number of bytes, at most the {size} of the body"
    fault = Fault(
        f"{HEADER}: expected {expected}, got {shown(given)}", parameter=HEADER, expected=expected, got=shown(given)
    )
    raise Problem(Kind.INVALID_HEADER, fault.detail, [fault])


def _tensors(inputs: Sequence[InferInput], binary: memoryview) -> list[Tensor]:
    """Raises Problem for a tensor without elements, or when the bytes are more or less than the tensors name."""
    sizes = [None if each.parameters is None else each.parameters.binary_data_size for each in inputs]
    if sum(size or 0 for size in sizes) != len(binary):
        detail = f"inputs: expected {sum(size or 0 for size in sizes)} bytes after the JSON (the sum of "
        detail += f"binary_data_size), got {len(binary)}; {HEADER} says where the JSON ends"
        raise _invalid(detail, "inputs")
    tensors, place = [], 0
    for number, (each, size) in enumerate(zip(inputs, sizes, strict=True)):
        if (size is None) == (each.data is None):
            got = "neither" if size is None else "both"
            raise _invalid(f"inputs.{number}: expected data or binary_data_size, got {got}", "inputs", number)
        data = binary[place : place + size] if size is not None else each.data
        assert data is not None
        tensors.append(Tensor(each.name, each.datatype, each.shape, data))
        place += size or 0
    return tensors


def _invalid(detail: str, *place: str | int) -> Problem:
    return Problem(Kind.INVALID_INPUT, detail, [Fault(detail, pointer=pointer(*place))])
