"""Trees in ONNX that answer as scikit-learn's do, ties and last digits included.

skl2onnx divides the leaves of a forest by its number of trees and adds them up in float32: in a forest of 50 trees,
25 votes then make 0.50000006, and a tie gets the other label. Here ONNX's trees only find each tree's leaf; the leaves'
values, as scikit-learn has them, are looked up and added in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from inferq_models.runtimes.nodes import ML_OPSET, Nodes
from inferq_models.runtimes.reasons import NotServed
from inferq_models.runtimes.trees import Ensemble, Link, ensemble_of

# ONNX's trees give float32, which counts no further than this.
_MAX_LEAVES = 1 << 24


def convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    """A converter as skl2onnx takes it."""
    nodes = Nodes(scope, container)
    ensemble = ensemble_of(operator.raw_operator)
    total = _sum(nodes, ensemble, operator.inputs[0].full_name)
    kind = "Exp" if ensemble.link is Link.EXP else "Identity"
    nodes.add(kind, total, output=operator.outputs[0].full_name)


def convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    """A converter as skl2onnx takes it: labels, then probabilities."""
    nodes = Nodes(scope, container)
    model = operator.raw_operator
    ensemble = ensemble_of(model)
    total = _sum(nodes, ensemble, operator.inputs[0].full_name)
    labels, probabilities = (output.full_name for output in operator.outputs[:2])
    if ensemble.link is Link.NONE:
        nodes.add("Identity", total, output=probabilities)
        place = nodes.add("ArgMax", total, axis=1, keepdims=0)
    elif ensemble.trees[0].values.shape[1] > 1:
        nodes.add("Softmax", total, output=probabilities, axis=1)
        place = nodes.add("ArgMax", total, axis=1, keepdims=0)
    else:
        second = nodes.add("Sigmoid", total)
        nodes.add("Concat", nodes.add("Sub", nodes.array(1.0), second), second, output=probabilities, axis=1)
        above = nodes.add("GreaterOrEqual" if ensemble.zero_is_second else "Greater", total, nodes.array(0.0))
        place = nodes.add("Reshape", nodes.add("Cast", above, to=TensorProto.INT64), nodes.array([-1]))
    nodes.add("Gather", nodes.labels(model.classes_), place, output=labels)


def _sum(nodes: Nodes, ensemble: Ensemble, rows: str) -> str:
    """The name of what the trees add up to, (n_rows, n_columns)."""
    rows = nodes.add("Cast", rows, to=TensorProto.DOUBLE)
    if ensemble.narrow:
        rows = nodes.add("Cast", nodes.add("Cast", rows, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)
    leaves = nodes.add("TreeEnsembleRegressor", rows, domain="ai.onnx.ml", version=ML_OPSET, **_attributes(ensemble))
    values = nodes.array(np.concatenate([tree.values[tree.is_leaf] for tree in ensemble.trees]))
    found = nodes.add("Gather", values, nodes.add("Cast", leaves, to=TensorProto.INT64), axis=0)
    total = nodes.add("ReduceSum", found, nodes.array([1]), keepdims=0)
    if ensemble.count > 1:
        total = nodes.add("Div", total, nodes.array(float(ensemble.count)))
    if ensemble.offset is not None:
        total = nodes.add("Add", total, nodes.array(ensemble.offset))
    return total


def _attributes(ensemble: Ensemble) -> dict[str, Any]:
    """The trees with a target each, whose value is the number of the leaf among all leaves."""
    trees = ensemble.trees
    sizes = [len(tree.is_leaf) for tree in trees]
    is_leaf = np.concatenate([tree.is_leaf for tree in trees])
    numbers = np.repeat(np.arange(len(trees)), sizes)
    places = np.concatenate([np.arange(size) for size in sizes])
    n_leaves = int(is_leaf.sum())
    if n_leaves > _MAX_LEAVES:
        raise NotServed(f"not convertible: it has {n_leaves:,} leaves, at most {_MAX_LEAVES:,} can be told apart")

    def inner(name: str) -> NDArray[Any]:
        return np.where(is_leaf, 0, np.concatenate([getattr(tree, name) for tree in trees]))

    return {
        "n_targets": len(trees),
        "nodes_treeids": numbers.tolist(),
        "nodes_nodeids": places.tolist(),
        "nodes_modes": np.where(is_leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_featureids": inner("feature").tolist(),
        "nodes_values_as_tensor": numpy_helper.from_array(inner("threshold").astype(np.float64)),
        "nodes_truenodeids": inner("left").tolist(),
        "nodes_falsenodeids": inner("right").tolist(),
        "nodes_missing_value_tracks_true": inner("missing_left").tolist(),
        "target_treeids": numbers[is_leaf].tolist(),
        "target_nodeids": places[is_leaf].tolist(),
        "target_ids": numbers[is_leaf].tolist(),
        "target_weights_as_tensor": numpy_helper.from_array(np.arange(n_leaves, dtype=np.float64)),
    }
