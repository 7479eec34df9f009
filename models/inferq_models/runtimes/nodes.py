"""Writing nodes and constants into a graph that skl2onnx makes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from inferq_models.runtimes.reasons import NotServed

# Read by onnxruntime 1.14 and newer.
OPSET, ML_OPSET = 18, 3
_TYPES = {np.dtype(np.float64): TensorProto.DOUBLE, np.dtype(np.int64): TensorProto.INT64}


class Nodes:
    """Adds nodes and constants to a graph under names of their own."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def add(
        self,
        kind: str,
        *inputs: str,
        output: str | None = None,
        domain: str = "",
        version: int = OPSET,
        **attributes: Any,
    ) -> str:
        output = output or self._scope.get_unique_variable_name(kind)
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(
            kind, list(inputs), [output], op_domain=domain, op_version=version, name=name, **attributes
        )
        return str(output)

    def array(self, values: Any) -> str:
        array = np.asarray(values)
        return self._constant(_TYPES[array.dtype], array.shape, array.ravel().tolist())

    def labels(self, classes: NDArray[Any]) -> str:
        if classes.dtype.kind in "OU" and all(isinstance(label, str) for label in classes):
            return self._constant(TensorProto.STRING, classes.shape, [label.encode() for label in classes])
        if classes.dtype.kind in "iub" or (classes.dtype.kind == "f" and (classes == classes.astype(np.int64)).all()):
            return self.array(classes.astype(np.int64))
        raise NotServed(f"not convertible: labels such as {classes[0]!r:.40} are neither strings nor whole numbers")

    def _constant(self, kind: int, shape: tuple[int, ...], values: list[Any]) -> str:
        name = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, kind, list(shape), values)
        return str(name)
