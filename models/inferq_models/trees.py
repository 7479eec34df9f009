"""Fitted trees whose nodes point where they should.

scikit-learn walks a tree in C and checks no index, so a crafted artifact of approved types could still make `predict`
read foreign memory or never return. This is why skops trusts no tree by itself. Here every index is checked once,
after loading and before the first prediction; then trees are as safe as other estimators and approved by default.
See https://github.com/scikit-learn/scikit-learn/pull/34558.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, IsolationForest
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree

from inferq_core.errors import ArtifactRejected
from inferq_models.parts import parts

_LEAF = -1
# Width of scikit-learn's category bitsets: 8 words of 32 bits.
_BITSET_WORDS = 8


def check_trees(estimator: Any) -> None:
    """Raise ArtifactRejected when a tree in the estimator has an index out of range or a node that leads back."""
    for part in parts(estimator):
        for kind, fitted, check in _CHECKS:
            if isinstance(part, kind) and hasattr(part, fitted):  # the templates inside ensembles are not fitted
                try:
                    check(part)
                except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                    raise _crafted(part, f"it is incomplete ({error!r})") from error


def _crafted(part: Any, what: str) -> ArtifactRejected:
    name = type(part).__name__
    return ArtifactRejected(f"a {name} in the artifact was damaged or crafted: {what}. Fit and register it again")


def _require(part: Any, holds: Any, what: str) -> None:
    if not np.all(holds):
        raise _crafted(part, what)


def _check_tree(tree: Any) -> None:
    # Before anything else: asking for the nodes reads `node_count` of them.
    _require(tree, 0 < tree.node_count <= tree.capacity, "its node count is wrong")
    nodes = tree.__getstate__()["nodes"][: tree.node_count]
    left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
    inner = np.flatnonzero(left != _LEAF)
    for child in (left[inner], right[inner]):
        # A tree is built parent first: a child with a smaller number would be a loop.
        _require(tree, (child > inner) & (child < tree.node_count), "a node has a child that does not exist")
    _require(tree, (feature[inner] >= 0) & (feature[inner] < tree.n_features), "a node asks for an unknown feature")


def _check_decision_tree(model: Any) -> None:
    _require(model, model.tree_.n_features == model.n_features_in_, "its number of features is wrong")


def _check_ensemble(model: Any) -> None:
    for tree in np.ravel(np.asarray(model.estimators_, dtype=object)):
        _require(model, tree.n_features_in_ == model.n_features_in_, "its trees disagree on the number of features")


def _check_bagging(model: Any) -> None:
    for member, features in zip(model.estimators_, model.estimators_features_, strict=True):
        fits = min(len(features), model.n_features_in_) >= getattr(member, "n_features_in_", 0)
        _require(model, fits, "its members disagree on the number of features")


def _check_histogram_boosting(model: Any) -> None:
    categorical = np.asarray(model._bin_mapper.is_categorical_, dtype=bool)  # noqa: SLF001 - what `predict` reads
    _require(model, categorical.size == model.n_features_in_, "its number of features is wrong")
    for stage in model._predictors:  # noqa: SLF001
        for predictor in stage:
            _check_predictor(predictor, categorical)


def _check_predictor(predictor: Any, categorical: Any) -> None:
    nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
    _require(predictor, len(nodes) > 0, "it has no nodes")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    for child in (nodes["left"][inner], nodes["right"][inner]):
        _require(predictor, (child > inner) & (child < len(nodes)), "a node has a child that does not exist")
    feature = nodes["feature_idx"][inner]
    _require(predictor, (feature >= 0) & (feature < categorical.size), "a node asks for an unknown feature")
    splits = inner[nodes["is_categorical"][inner] != 0]
    if splits.size:
        shape = np.shape(bitsets)
        known = len(shape) == 2 and shape[1] == _BITSET_WORDS  # noqa: PLR2004
        _require(predictor, known, "its categories have the wrong form")
        _require(predictor, nodes["bitset_idx"][splits] < shape[0], "a node asks for unknown categories")
        _require(predictor, categorical[nodes["feature_idx"][splits]], "a node takes a number for a category")


# Class, the attribute that makes it predict, and what must hold then.
_CHECKS: tuple[tuple[Any, str, Callable[[Any], None]], ...] = (
    (Tree, "node_count", _check_tree),
    (BaseDecisionTree, "tree_", _check_decision_tree),
    ((BaseForest, BaseGradientBoosting), "estimators_", _check_ensemble),
    ((BaggingClassifier, BaggingRegressor, IsolationForest), "estimators_", _check_bagging),
    (BaseHistGradientBoosting, "_predictors", _check_histogram_boosting),
)
