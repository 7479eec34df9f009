"""Looking inside a fitted estimator."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

_ATOMS = (str, bytes, int, float, complex, np.generic, type, FunctionType, MethodType, ModuleType, type(None))


def parts(estimator: Any) -> Iterator[Any]:
    """The estimator and every object in it, each once: through attributes, lists, tuples, dicts and object arrays."""
    seen: dict[int, Any] = {}
    waiting = [estimator]
    while waiting:
        part = waiting.pop()
        if isinstance(part, _ATOMS) or id(part) in seen:
            continue
        seen[id(part)] = part  # keeps it alive, so that no id is used twice
        yield part
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, (list, tuple, set, frozenset)):
            waiting.extend(part)
        elif isinstance(part, np.ndarray):
            waiting.extend(part.ravel().tolist() if part.dtype == object else ())
        else:
            waiting.extend(getattr(part, "__dict__", {}).values())


def forbid_parallelism(estimator: Any) -> None:
    """Set every `n_jobs` to 1: joblib's own processes and threads fail or warn inside a daemonic pool process."""
    for part in parts(estimator):
        attributes = getattr(part, "__dict__", {})
        if "n_jobs" in attributes:
            attributes["n_jobs"] = 1
