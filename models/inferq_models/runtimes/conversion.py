"""From an estimator to an ONNX file: whether it can become one, and what is said when not."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.tree import BaseDecisionTree

from inferq_core.columns import Kind, Layout
from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_models.parts import parts
from inferq_models.runtimes.reasons import NotServed, brief, extra_missing
from inferq_models.runtimes.session import NARROW


def convert(estimator: Any, signature: Signature) -> bytes:
    """The estimator as an ONNX model that takes one matrix of float64. Raises NotServed with the reason."""
    _check_shape(signature)
    try:
        import onnx  # noqa: PLC0415 - an extra
        import onnxruntime  # noqa: F401, PLC0415 - what is converted must be tried
        import skl2onnx  # noqa: F401, PLC0415 - named here for its own error

        from inferq_models.runtimes import converters  # noqa: PLC0415 - needs onnx
    except ImportError as error:
        raise NotServed(extra_missing(error)) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = converters.convert(estimator, len(signature.columns))
    except NotServed:
        raise
    except Exception as error:  # skl2onnx raises of every kind for what it does not know
        raise NotServed(f"not convertible: {brief(error)}") from error
    if Method.PREDICT_PROBA in signature.methods and len(model.graph.output) == 1:
        raise NotServed("not convertible: the conversion gives no probabilities")
    if any(isinstance(part, BaseDecisionTree) for part in parts(estimator)):
        onnx.helper.set_model_props(model, {NARROW: "1"})
    try:
        return bytes(model.SerializeToString())
    except ValueError as error:  # protobuf's limit
        raise NotServed(f"not convertible: {brief(error)}") from error


def _check_shape(signature: Signature) -> None:
    if Method.PREDICT not in signature.methods:
        raise NotServed("not convertible: it has no predict")
    if signature.n_outputs > 1:
        raise NotServed(f"not convertible: it predicts {signature.n_outputs} values a row")
    if signature.layout is Layout.TEXTS:
        raise NotServed("not convertible: it takes texts, and only rows of numbers are converted")
    for place, column in enumerate(signature.columns):
        if column.kind is not Kind.NUMERIC or column.categories is not None:
            title = place if column.name is None else repr(column.name)
            raise NotServed(f"not convertible: column {title} is no number, and only rows of numbers are converted")
