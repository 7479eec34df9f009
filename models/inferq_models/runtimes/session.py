"""A converted artifact that answers as its estimator would."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferq_core.errors import ArtifactRejected
from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_models.runtimes.graphs import check_graph
from inferq_models.runtimes.reasons import OnnxUnavailable, brief, extra_missing

# What a converted artifact answers. For the other methods scikit-learn's artifact is loaded when one is asked for.
METHODS = frozenset({Method.PREDICT, Method.PREDICT_PROBA})
# Set in the file's metadata when the estimator rounds its rows to float32, as trees do.
NARROW = "inferq.narrow"
# onnxruntime's number for errors; its warnings are about its own optimisations.
_ERRORS_ONLY = 3


class OnnxEstimator:
    """The methods of METHODS, on ONNX Runtime. Made in the process that uses it: a session survives no fork."""

    def __init__(self, session: Any, signature: Signature) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]
        self._narrow = NARROW in session.get_modelmeta().custom_metadata_map
        self._labels = None if signature.classes is None else np.asarray(signature.classes).dtype

    def predict(self, rows: Any) -> NDArray[Any]:
        """Labels of the classes' own type, or numbers; (n_rows,)."""
        answers = self._run(self._outputs[0], rows)
        if self._labels is not None:
            return answers.ravel().astype(self._labels)
        return answers.ravel() if answers.shape[1:] == (1,) else answers

    def predict_proba(self, rows: Any) -> NDArray[Any]:
        """(n_rows, n_classes), in the order of the signature's classes."""
        return self._run(self._outputs[1], rows)

    def _run(self, output: str, rows: Any) -> NDArray[Any]:
        matrix = np.ascontiguousarray(rows, dtype=np.float64)
        if self._narrow:
            with np.errstate(over="ignore"):
                too_large = np.isinf(matrix.astype(np.float32)).any()
            if too_large:  # scikit-learn's words
                raise ValueError("Input X contains infinity or a value too large for dtype('float32').")
        answers: NDArray[Any] = self._session.run([output], {self._input: matrix})[0]
        return answers


def open_graph(data: bytes, signature: Signature) -> OnnxEstimator:
    """A session over the artifact, on one thread. Check the digest before: see `artifacts.read`.

    Raises ArtifactRejected for what `check_graph` refuses, and OnnxUnavailable when the extra is not installed, or is
    older than the artifact.
    """
    check_graph(data)
    try:
        import onnxruntime  # noqa: PLC0415 - an extra; never imported before the fork
    except ImportError as error:
        raise OnnxUnavailable(extra_missing(error)) from None
    options = onnxruntime.SessionOptions()
    # The pool already has a process per core. With one thread each, no thread pool is made at all.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no root but Exception
        raise OnnxUnavailable(f"onnxruntime {onnxruntime.__version__} cannot open it: {brief(error)}") from error
    if len(session.get_inputs()) != 1 or session.get_inputs()[0].type != "tensor(double)":
        raise ArtifactRejected("the ONNX artifact does not take one matrix of float64: register the model again")
    return OnnxEstimator(session, signature)
