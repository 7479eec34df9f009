"""Fitted trees as plain arrays: what scikit-learn's ensembles add up, and how they make an answer of the sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.tree._tree import Tree

from inferq_models.parts import parts
from inferq_models.runtimes.reasons import NotServed

_LEAF = -1


class Link(Enum):
    """From the sum over the trees to the answer."""

    NONE = auto()  # the sum: a number, or the classes' probabilities
    LOGIT = auto()  # one column for two classes, or one for each
    EXP = auto()


@dataclass(frozen=True)
class FittedTree:
    """One tree, an entry for each node; `values`, (n_nodes, n_columns), counts in leaves only."""

    is_leaf: NDArray[Any]
    left: NDArray[Any]  # where a value goes that is at most the threshold
    right: NDArray[Any]
    feature: NDArray[Any]
    threshold: NDArray[Any]
    missing_left: NDArray[Any]
    values: NDArray[Any]


@dataclass(frozen=True)
class Ensemble:
    """Trees whose leaves are added up, then divided by `count` (a mean), then moved by `offset`, (n_columns,)."""

    trees: tuple[FittedTree, ...]
    narrow: bool  # values are rounded to float32 before they are compared
    count: int = 1
    offset: NDArray[Any] | None = None
    link: Link = Link.NONE
    zero_is_second: bool = False  # of two classes, for a sum of exactly 0


def ensemble_of(model: Any) -> Ensemble:
    """Raises NotServed for what ONNX's trees cannot express."""
    if getattr(model, "n_outputs_", 1) > 1:
        raise NotServed(f"not convertible: {type(model).__name__} has {model.n_outputs_} outputs")
    return READERS[type(model)](model)


def count_nodes(estimator: Any) -> int:
    """Nodes of all trees anywhere in the estimator."""
    found = list(parts(estimator))
    plain = sum(int(part.node_count) for part in found if isinstance(part, Tree))
    return plain + sum(len(part.nodes) for part in found if isinstance(part, TreePredictor))


def _single(model: Any) -> Ensemble:
    return Ensemble((_tree(model.tree_),), narrow=True)


def _forest(model: Any) -> Ensemble:
    trees = tuple(_tree(member.tree_) for member in model.estimators_)
    return Ensemble(trees, narrow=True, count=len(trees))


def _boosting(model: Any) -> Ensemble:
    n_columns = model.estimators_.shape[1]
    if type(model.init_).__name__ not in ("str", "DummyClassifier", "DummyRegressor"):
        raise NotServed(f"not convertible: it starts from another estimator, {type(model.init_).__name__}")
    if model.loss == "exponential":
        raise NotServed("not convertible: its loss is exponential")
    trees = tuple(
        _tree(member.tree_, column=column, n_columns=n_columns, scale=model.learning_rate)
        for stage in model.estimators_
        for column, member in enumerate(stage)
    )
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))[0]  # noqa: SLF001
    link = Link.LOGIT if hasattr(model, "classes_") else Link.NONE
    return Ensemble(trees, narrow=True, offset=start, link=link, zero_is_second=True)


def _histogram_boosting(model: Any) -> Ensemble:
    if model.is_categorical_ is not None and model.is_categorical_.any():
        raise NotServed("not convertible: it has categorical columns")
    name = type(model._loss.link).__name__  # noqa: SLF001
    if hasattr(model, "classes_"):
        link = Link.LOGIT
    elif name in _REGRESSION_LINKS:
        link = _REGRESSION_LINKS[name]
    else:
        raise NotServed(f"not convertible: its loss has a {name}")
    n_columns = model.n_trees_per_iteration_
    trees = tuple(
        _histogram_tree(predictor.nodes, column, n_columns)
        for stage in model._predictors  # noqa: SLF001
        for column, predictor in enumerate(stage)
    )
    return Ensemble(trees, narrow=False, offset=np.ravel(model._baseline_prediction), link=link)  # noqa: SLF001


_REGRESSION_LINKS = {"IdentityLink": Link.NONE, "LogLink": Link.EXP}


def _tree(tree: Any, *, column: int | None = None, n_columns: int = 1, scale: float = 1.0) -> FittedTree:
    """With `column`, the tree counts for that column of the sum only, `scale` times."""
    nodes = tree.__getstate__()["nodes"][: tree.node_count]
    values = tree.value[:, 0, :]
    return FittedTree(
        is_leaf=nodes["left_child"] == _LEAF,
        left=nodes["left_child"],
        right=nodes["right_child"],
        feature=nodes["feature"],
        threshold=nodes["threshold"],
        missing_left=nodes["missing_go_to_left"],
        values=values if column is None else _in_column(values[:, 0] * scale, column, n_columns),
    )


def _histogram_tree(nodes: Any, column: int, n_columns: int) -> FittedTree:
    return FittedTree(
        is_leaf=nodes["is_leaf"] != 0,
        left=nodes["left"],
        right=nodes["right"],
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        missing_left=nodes["missing_go_to_left"],
        values=_in_column(nodes["value"], column, n_columns),
    )


def _in_column(values: NDArray[Any], column: int, n_columns: int) -> NDArray[Any]:
    spread = np.zeros((len(values), n_columns))
    spread[:, column] = values
    return spread


def _by_kind(kinds: Iterable[type], reader: Callable[[Any], Ensemble]) -> dict[type, Callable[[Any], Ensemble]]:
    return dict.fromkeys(kinds, reader)


READERS: dict[type, Callable[[Any], Ensemble]] = {
    **_by_kind((DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor), _single),
    **_by_kind((RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor), _forest),
    **_by_kind((GradientBoostingClassifier, GradientBoostingRegressor), _boosting),
    **_by_kind((HistGradientBoostingClassifier, HistGradientBoostingRegressor), _histogram_boosting),
}
