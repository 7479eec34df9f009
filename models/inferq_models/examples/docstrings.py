"""Which package is it from? The docstrings of the scientific packages on this machine, and a linear model on TF-IDF."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from inferq_models.examples.example import SEED, Example

NAME = "docstrings"

# Public modules that inferq's own requirements bring along.
MODULES = {
    "numpy": ("numpy", "numpy.linalg", "numpy.fft", "numpy.random", "numpy.ma", "numpy.polynomial.polynomial"),
    "pandas": ("pandas", "pandas.DataFrame", "pandas.Series", "pandas.Index", "pandas.api.types"),
    "scipy": (
        "scipy.signal",
        "scipy.optimize",
        "scipy.linalg",
        "scipy.sparse",
        "scipy.stats",
        "scipy.special",
        "scipy.integrate",
    ),
    "sklearn": (
        "sklearn.datasets",
        "sklearn.ensemble",
        "sklearn.linear_model",
        "sklearn.metrics",
        "sklearn.model_selection",
        "sklearn.preprocessing",
        "sklearn.decomposition",
        "sklearn.cluster",
    ),
}
# The packages' names and usual abbreviations, which would give the answer away.
_GIVEAWAYS = re.compile(r"\b(numpy|np|pandas|pd|scipy|sp|sklearn|scikit|learn)\b", re.IGNORECASE)
# Characters of a docstring that a row holds, and the fewest that it must have.
LONGEST, SHORTEST = 1000, 80


def build() -> Example:
    """Rows are str, without the packages' names; the classes are the packages."""
    texts, packages = zip(*sorted(set(_collect())), strict=True)
    X_train, X_test, y_train, y_test = train_test_split(
        list(texts), list(packages), test_size=0.5, stratify=packages, random_state=SEED
    )
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=20_000)
    pipeline = make_pipeline(vectorizer, LogisticRegression(C=10.0)).fit(X_train, y_train)
    return Example(NAME, pipeline, X_train, X_test, y_train, y_test)


def _collect() -> Iterator[tuple[str, str]]:
    """(docstring, package) of every public function, method and class of `MODULES`."""
    for package, names in MODULES.items():
        for name in names:
            home = _find(name)
            for member in sorted(vars(home)):
                if member.startswith("_") or not callable(value := getattr(home, member)):
                    continue
                text = _GIVEAWAYS.sub("", inspect.getdoc(value) or "")[:LONGEST].strip()
                if len(text) >= SHORTEST:
                    yield text, package


def _find(name: str) -> object:
    """The module, or the class in a module, of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        found: object = getattr(importlib.import_module(module), attribute)
        return found
