"""The sample that comes with a registration, in the form in which the estimator takes its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from inferq_core.errors import RegistrationRefused
from inferq_models.parts import parts

Sample: TypeAlias = pd.DataFrame | NDArray[Any] | list[str]

# Rows that stand in for a sample that was not given.
_STAND_IN_ROWS = 2


def as_sample(sample: Any, estimator: Any) -> Sample:
    """A DataFrame when the estimator knows names, else a 2-D array; a list of str for a text model.

    Names follow the estimator: rows without names get those it was fitted with, and a DataFrame for an estimator that
    was fitted without names becomes an array. Raises RegistrationRefused when sample and estimator do not fit.
    """
    given = _normalize(sample)
    if isinstance(given, list):
        return given
    names = _names(estimator)
    if names is not None:
        return _with_names(given, names)
    width = getattr(estimator, "n_features_in_", None)
    if width is not None and given.shape[1] != width:
        raise RegistrationRefused(f"the sample has {given.shape[1]} columns, the estimator was fitted with {width}")
    if isinstance(given, pd.DataFrame):
        by_name = all(isinstance(name, str) for name in given.columns) and width is None
        return given if by_name else _to_array(given)
    return given


def read_csv(path: Path, estimator: Any) -> Sample:
    """The sample in a CSV file with a header line; a single column of strings is a text model's."""
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())  # pandas ends some with a line feed
        raise RegistrationRefused(f"the sample {path} cannot be read as CSV: {reason}") from error
    if frame.shape[1] == 1 and _names(estimator) is None and not pd.api.types.is_numeric_dtype(frame.iloc[:, 0]):
        return as_sample(frame.iloc[:, 0], estimator)
    return as_sample(frame, estimator)


def stand_in(estimator: Any) -> Sample:
    """Zeros, for an estimator that says how many numeric features it takes.

    Raises RegistrationRefused when it does not say so, or when it was fitted on strings.
    """
    width = getattr(estimator, "n_features_in_", None)
    if width is None or any(_fitted_on_strings(part) for part in parts(estimator)):
        raise RegistrationRefused(
            f"{type(estimator).__name__} does not say what rows it takes: give a sample (`--sample data.csv`)"
        )
    zeros = np.zeros((_STAND_IN_ROWS, int(width)))
    names = _names(estimator)
    return zeros if names is None else pd.DataFrame(zeros, columns=names)


def spread(sample: Sample, count: int) -> Sample:
    """At most `count` rows, evenly taken from the whole sample."""
    if len(sample) <= count:
        return sample
    places = np.linspace(0, len(sample) - 1, count).astype(int)
    if isinstance(sample, list):
        return [sample[place] for place in places]
    return sample.iloc[places] if isinstance(sample, pd.DataFrame) else sample[places]


def _normalize(sample: Any) -> Sample:
    if isinstance(sample, pd.DataFrame):
        return _not_empty(sample)
    if hasattr(sample, "toarray"):
        sample = sample.toarray()
    if isinstance(sample, (list, tuple)) and sample and all(isinstance(row, dict) for row in sample):
        return _not_empty(pd.DataFrame(list(sample)))
    if isinstance(sample, (list, tuple, pd.Series, np.ndarray)):
        texts = list(sample)
        if texts and all(isinstance(text, str) for text in texts):
            return [str(text) for text in texts]
    try:
        array = np.asarray(sample)
        if array.dtype.kind in "US":  # numpy has turned numbers next to strings into strings
            array = np.asarray(sample, dtype=object)
    except ValueError as error:
        raise RegistrationRefused(f"the sample is no table: {error}") from error
    if array.ndim != 2:  # noqa: PLR2004
        raise RegistrationRefused(
            f"the sample must have shape (n_rows, n_features), or be a list of str for a text model; got {array.shape}"
        )
    return _not_empty(array)


def _not_empty(sample: Any) -> Any:
    if 0 in sample.shape:
        raise RegistrationRefused(f"the sample is empty: its shape is {sample.shape}")
    return sample


def _names(estimator: Any) -> list[str] | None:
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _with_names(given: Any, names: list[str]) -> pd.DataFrame:
    if not isinstance(given, pd.DataFrame):
        if given.shape[1] != len(names):
            raise RegistrationRefused(f"the sample has {given.shape[1]} columns, the estimator knows {len(names)}")
        return pd.DataFrame(given, columns=names).infer_objects()
    missing = [name for name in names if name not in given.columns]
    if missing:
        raise RegistrationRefused(f"the sample lacks columns that the estimator was fitted with: {missing[:10]}")
    return given[names]


def _to_array(frame: pd.DataFrame) -> NDArray[Any]:
    values: NDArray[Any] = frame.to_numpy()
    return values


def _fitted_on_strings(part: Any) -> bool:
    if hasattr(part, "vocabulary_"):
        return True
    categories = getattr(part, "categories_", None)
    return categories is not None and any(np.asarray(values).dtype.kind in "OUS" for values in categories)
