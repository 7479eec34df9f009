"""The columns that a model takes: what its sample showed at registration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Layout(StrEnum):
    """The shape in which an estimator takes its rows."""

    MATRIX = "matrix"  # numbers by position: an array of floats, (n_rows, n_columns)
    OBJECTS = "objects"  # numbers and strings by position: an array of objects, (n_rows, n_columns)
    FRAME = "frame"  # named columns: a pandas DataFrame
    TEXTS = "texts"  # one string a row: a list of str


class Kind(StrEnum):
    """What the values of a column mean."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    TEXT = "text"


class Takes(StrEnum):
    """What a value of a column must be."""

    NUMBER = "a number"
    BOOLEAN = "true or false"
    STRING = "a string"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the rows. `name` is None in models that know columns by position only.

    `dtype` is the one the estimator saw at registration: float64, float32, int64, bool, str, object or category.
    Frames are rebuilt with it. `categories` are those of a pandas categorical column, in its order.
    """

    name: str | None
    kind: Kind
    dtype: str
    nullable: bool = False
    categories: tuple[str | int | float | bool, ...] | None = None

    @property
    def takes(self) -> Takes:
        if self.categories is not None:
            return Takes.STRING if all(isinstance(value, str) for value in self.categories) else Takes.NUMBER
        if self.kind is not Kind.NUMERIC:
            return Takes.STRING
        return Takes.BOOLEAN if self.dtype == "bool" else Takes.NUMBER

    @property
    def is_float(self) -> bool:
        """Whether a float array holds every value of the column without loss."""
        return self.kind is Kind.NUMERIC and self.dtype in ("float64", "float32")
