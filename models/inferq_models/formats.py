"""From bytes to an estimator: which formats there are, and what must hold before one is opened."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import joblib
import sklearn
import skops.io
from sklearn.exceptions import InconsistentVersionWarning
from skops.io.exceptions import UntrustedTypesFoundException

from inferq_core.errors import ArtifactRejected
from inferq_models.archives import check_archive
from inferq_models.parts import forbid_parallelism
from inferq_models.trees import check_trees


class Format(StrEnum):
    """How an artifact was written. The value is kept with the version and ends the file's name."""

    SKOPS = "skops"
    JOBLIB = "joblib"
    PICKLE = "pickle"


SUFFIXES = {".skops": Format.SKOPS, ".joblib": Format.JOBLIB, ".pkl": Format.PICKLE, ".pickle": Format.PICKLE}

# Types that need no operator's approval, besides those that skops trusts itself. Each is plain data or pure Python
# without a side effect when it is built; the trees are so because `check_trees` follows. A partial's function needs
# approval by itself.
DEFAULT_TYPES = (
    "functools.partial",
    "numpy.dtype",
    "scipy.sparse._csr.csr_matrix",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)


@dataclass(frozen=True, slots=True)
class Opened:
    """An estimator out of an artifact, and the scikit-learn version that wrote it."""

    estimator: Any
    sklearn_version: str


def dump(estimator: Any) -> bytes:
    """The estimator in skops' format. Raises whatever skops raises for what it cannot hold."""
    return bytes(skops.io.dumps(estimator))


def unapproved_types(data: bytes, approved: Sequence[str] = (), *, max_bytes: int) -> list[str]:
    """Types in a skops artifact that nobody approved. Nothing of it is built or imported.

    Raises ArtifactRejected when `data` is no skops artifact, or unpacks to more than `max_bytes`.
    """
    check_archive(data, max_bytes)
    try:
        found = skops.io.get_untrusted_types(data=data)
    except Exception as error:
        raise ArtifactRejected(f"the artifact is not in skops format ({_brief(error)})") from error
    return sorted(set(found) - {*DEFAULT_TYPES, *approved})


def open_artifact(data: bytes, kind: Format, approved: Sequence[str], *, trust_pickle: bool, max_bytes: int) -> Opened:
    """Build the estimator. Check the digest before: see `artifacts.read`.

    Parallelism inside the estimator is switched off. Raises ArtifactRejected when types are not approved, when it is a
    pickle that nobody trusts, when it unpacks to more than `max_bytes`, and when it cannot be built.
    """
    if kind is Format.SKOPS:
        check_archive(data, max_bytes)
    elif not trust_pickle:
        raise ArtifactRejected(f"a {kind} artifact can run any code and was not trusted at registration")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator = _open_skops(data, approved) if kind is Format.SKOPS else joblib.load(io.BytesIO(data))
        except UntrustedTypesFoundException:
            names = ", ".join(unapproved_types(data, approved, max_bytes=max_bytes))
            raise ArtifactRejected(f"the artifact holds types that nobody approved: {names}") from None
        except MemoryError:
            raise  # the artifact is in order, and this process full
        except Exception as error:
            version = _written_by(caught)
            raise ArtifactRejected(
                f"the {kind} artifact cannot be read ({_brief(error)}); it was written by scikit-learn {version}, "
                f"here runs {sklearn.__version__}"
            ) from error
    check_trees(estimator)
    forbid_parallelism(estimator)
    return Opened(estimator, _written_by(caught))


def _open_skops(data: bytes, approved: Sequence[str]) -> Any:
    return skops.io.loads(data, trusted=[*DEFAULT_TYPES, *approved])


def _written_by(caught: Sequence[warnings.WarningMessage]) -> str:
    """scikit-learn says which version wrote an estimator only when it is another one."""
    for warning in caught:
        if isinstance(warning.message, InconsistentVersionWarning):
            return str(warning.message.original_sklearn_version)
    return str(sklearn.__version__)


def _brief(error: Exception) -> str:
    text = str(error).strip().split("\n", 1)[0][:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
