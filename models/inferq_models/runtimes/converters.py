"""skl2onnx with converters of our own for trees and for filling in missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn.base import is_classifier
from sklearn.impute import SimpleImputer

from inferq_models.runtimes.nodes import ML_OPSET, OPSET, Nodes
from inferq_models.runtimes.reasons import NotServed
from inferq_models.runtimes.tree_nodes import convert_classifier, convert_regressor
from inferq_models.runtimes.trees import READERS

_CLASSIFIERS = [kind for kind in READERS if is_classifier(kind())]
_REGRESSORS = [kind for kind in READERS if kind not in _CLASSIFIERS]


def convert(estimator: Any, n_columns: int) -> Any:
    """The estimator as a model of ONNX. Raises NotServed, and whatever skl2onnx raises for what it does not know."""
    arrays_not_dicts = {"zipmap": False}
    try:
        return _convert(estimator, n_columns, arrays_not_dicts if is_classifier(estimator) else None)
    except NameError:  # a classifier that never gives dicts does not know the option
        return _convert(estimator, n_columns, None)


def _convert(estimator: Any, n_columns: int, options: dict[str, bool] | None) -> Any:
    return convert_sklearn(
        estimator,
        initial_types=[("rows", DoubleTensorType([None, n_columns]))],
        options=options,
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        custom_conversion_functions={
            **dict.fromkeys(_CLASSIFIERS, convert_classifier),
            **dict.fromkeys(_REGRESSORS, convert_regressor),
            SimpleImputer: _convert_imputer,
        },
        custom_shape_calculators={
            **dict.fromkeys(_CLASSIFIERS, _classifier_shapes),
            **dict.fromkeys(_REGRESSORS, calculate_linear_regressor_output_shapes),
        },
    )


def _classifier_shapes(operator: Any) -> None:
    calculate_linear_classifier_output_shapes(operator)
    probabilities = operator.outputs[1]
    # skl2onnx takes it for float32 where its own trees give no more.
    probabilities.set_type(DoubleTensorType(probabilities.type.shape))


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """The operator that ONNX has for this takes float32 only, in onnxruntime."""
    model = operator.raw_operator
    simple = len(operator.inputs) == 1 and not model.add_indicator and model.statistics_.dtype.kind == "f"
    for_nan = isinstance(model.missing_values, float) and np.isnan(model.missing_values)
    if not simple or not for_nan or np.isnan(model.statistics_).any():
        raise NotServed("not convertible: its SimpleImputer does more than fill in numbers for NaN")
    nodes, rows = Nodes(scope, container), operator.inputs[0].full_name
    fills = nodes.array(model.statistics_)
    nodes.add("Where", nodes.add("IsNaN", rows), fills, rows, output=operator.outputs[0].full_name)
