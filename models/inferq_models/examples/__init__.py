"""Models on real data that is on every machine: what inferq serves, and what its tests and demo run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from inferq_models.examples import breast_cancer, diabetes, digits, docstrings, unicode
from inferq_models.examples.example import Example

BUILDERS: Mapping[str, Callable[[], Example]] = MappingProxyType(
    {module.NAME: module.build for module in (digits, breast_cancer, diabetes, docstrings, unicode)}
)

__all__ = ["BUILDERS", "Example"]
