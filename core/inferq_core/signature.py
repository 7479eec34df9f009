"""What a model takes and gives, kept with each version; rows are checked against it before a job is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from numpy.typing import NDArray

from inferq_core.columns import Column, Kind, Layout, Takes
from inferq_core.errors import ArtifactRejected
from inferq_core.rows import CheckedRows, check_each, check_rows
from inferq_core.states import Method

__all__ = ["FORMAT", "CheckedRows", "Column", "Kind", "Layout", "Signature", "Takes"]

# Raise it when older code would misread what `to_json` writes; `from_json` keeps reading every older format.
FORMAT = 1

_MATRIX_DTYPES = frozenset({"float64", "float32"})
_COLUMN_DTYPES = frozenset({"float64", "float32", "int64", "bool", "str", "object", "category"})

Label = str | int | float | bool


@dataclass(frozen=True)
class Signature:
    """What a version takes (`layout`, `columns`) and gives (`methods`, `classes`, `n_outputs`).

    `dtype` is the matrix's (float64 or float32) when `layout` is MATRIX. `classes` are a classifier's labels in the
    order of `predict_proba`; None for all others and for classifiers of several outputs. `n_outputs` is the number of
    values `predict` gives per row.
    """

    layout: Layout
    columns: tuple[Column, ...]
    methods: tuple[Method, ...]
    classes: tuple[Label, ...] | None = None
    n_outputs: int = 1
    dtype: str = "float64"

    @property
    def named(self) -> bool:
        return self.layout is Layout.FRAME

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in the model's order; empty when columns go by position."""
        return tuple(column.name for column in self.columns if column.name is not None)

    def check(self, rows: Any, *, max_rows: int | None = None) -> CheckedRows:
        """The rows as they are stored, after a check of every value.

        `rows` is a 2-D array-like (lists, numpy array), a list of dicts, a pandas DataFrame, or one row: a dict, or a
        1-D array-like. A text model takes a str or a list of str. A model with named columns takes names in any order,
        and rows without names in the order of `names`. A model without names takes a DataFrame by position. Booleans
        count as 0 and 1. NaN and None are missing values, which only nullable columns take.

        Raises InvalidInput that names the row and column (counted from 0), what was expected and what came.
        """
        return check_rows(self.layout, self.columns, rows, max_rows=max_rows)

    def check_each(self, items: Sequence[Any] | NDArray[Any]) -> list[CheckedRows] | None:
        """`check` of every item, a job each, all at once: several times faster for rows of numbers.

        None when the items are anything else, or when one of them does not fit: check them one by one then.
        """
        return check_each(self.layout, self.columns, items)

    def to_json(self) -> str:
        columns = [
            {
                "name": column.name,
                "kind": column.kind,
                "dtype": column.dtype,
                "nullable": column.nullable,
                "categories": column.categories,
            }
            for column in self.columns
        ]
        document = {
            "format": FORMAT,
            "layout": self.layout,
            "dtype": self.dtype,
            "columns": columns,
            "methods": self.methods,
            "classes": self.classes,
            "n_outputs": self.n_outputs,
        }
        return orjson.dumps(document).decode()

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Raises ArtifactRejected when `text` is no signature, or one of a newer format."""
        try:
            document = orjson.loads(text)
            if document["format"] > FORMAT:
                raise ArtifactRejected(
                    f"the signature has format {document['format']}, this inferq reads up to {FORMAT}: upgrade inferq"
                )
            return cls(
                layout=Layout(document["layout"]),
                columns=tuple(_column(column) for column in document["columns"]),
                methods=tuple(Method(method) for method in document["methods"]),
                classes=_labels(document["classes"]),
                n_outputs=_counted(document["n_outputs"]),
                dtype=_one_of(_MATRIX_DTYPES, document["dtype"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ArtifactRejected(f"the version's signature cannot be read ({error!r}): register it again") from error


def _column(document: dict[str, Any]) -> Column:
    name = document["name"]
    if not isinstance(name, str | None):
        raise TypeError("a column's name is no text")
    return Column(
        name=name,
        kind=Kind(document["kind"]),
        dtype=_one_of(_COLUMN_DTYPES, document["dtype"]),
        nullable=bool(document["nullable"]),
        categories=_labels(document["categories"]),
    )


def _labels(values: Any) -> tuple[Label, ...] | None:
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(value, Label) for value in values):
        raise TypeError("classes or categories are no list of texts and numbers")
    return tuple(values)


def _counted(value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError("n_outputs is no number of outputs")
    return value


def _one_of(allowed: frozenset[str], dtype: Any) -> str:
    """Numpy and pandas would take a type's description for more than a name."""
    if dtype not in allowed:
        raise ValueError(f"{dtype!r:.80} is no dtype of a signature")
    return str(dtype)
