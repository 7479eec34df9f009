"""What an ONNX file must be before it is run: operators of the standard, and no reference to another file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from inferq_core.errors import ArtifactRejected
from inferq_models.runtimes.reasons import OnnxUnavailable, brief, extra_missing

# Protobuf reads no more than 2 GiB; a model of trees of this size has tens of millions of nodes.
MAX_BYTES = 1 << 30
_STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})


def check_graph(data: bytes) -> None:
    """Raise ArtifactRejected unless `data` is a self-contained ONNX model of standard operators.

    Tensors may lie in other files, at paths that climb (`../../etc/passwd`), and operators of other domains are code
    of whoever registered them. Raises OnnxUnavailable when the `onnx` package is missing.
    """
    if len(data) > MAX_BYTES:
        raise ArtifactRejected(f"the ONNX artifact has {len(data):,} bytes, at most {MAX_BYTES:,} are read")
    try:
        import onnx  # noqa: PLC0415 - an extra, and only pool processes and registration need it
        from google.protobuf.message import DecodeError  # noqa: PLC0415
    except ImportError as error:
        raise OnnxUnavailable(extra_missing(error)) from None
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ArtifactRejected(f"the artifact is no ONNX model ({brief(error)})") from error
    if model.functions:
        raise ArtifactRejected(f"the ONNX artifact has functions of its own: {model.functions[0].name}")
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto):
            _check_tensor(message, onnx.TensorProto.EXTERNAL)
        elif isinstance(message, onnx.NodeProto) and message.domain not in _STANDARD_DOMAINS:
            raise ArtifactRejected(f"the ONNX artifact has an operator of its own: {message.domain}.{message.op_type}")


def _check_tensor(tensor: Any, external: int) -> None:
    if tensor.data_location == external or tensor.external_data:
        places = {entry.key: entry.value for entry in tensor.external_data}
        raise ArtifactRejected(f"the ONNX artifact refers to another file: {places.get('location', 'unnamed')!r:.200}")


def _messages(message: Any) -> Iterator[Any]:
    """The message and all messages in it, subgraphs included."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from _messages(inner)
