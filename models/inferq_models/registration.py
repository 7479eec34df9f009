"""How a fitted estimator becomes a version: saved, loaded back, compared, and only then entered in the store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sklearn

from inferq_core.errors import ArtifactRejected, InferqError, RegistrationRefused, UnknownModel
from inferq_core.settings import Settings, load_settings
from inferq_core.signature import Signature
from inferq_core.store import open_store
from inferq_core.store.contract import Store
from inferq_core.store.records import ModelSetting, NewVersion, RuntimeChoice, VersionRecord
from inferq_core.store.registry import check_settings
from inferq_models import artifacts, formats
from inferq_models.formats import Format
from inferq_models.infer import TRIED_ROWS, call, infer
from inferq_models.inputs import build
from inferq_models.routing import CHAMPION
from inferq_models.runtimes.choice import Served, choose
from inferq_models.samples import Sample, as_sample, read_csv, spread, stand_in

# Saved and loaded must agree to this: the same code on the same machine, but sums may run in another order.
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What is about to become a version."""

    data: bytes
    kind: Format
    trusted_types: tuple[str, ...]
    trust_pickle: bool
    max_bytes: int

    def __post_init__(self) -> None:
        if len(self.data) > self.max_bytes:
            raise RegistrationRefused(
                f"the artifact has {len(self.data):,} bytes, INFERQ_MAX_ARTIFACT_BYTES is {self.max_bytes:,}"
            )


@dataclass(frozen=True, slots=True)
class _Target:
    """Where it goes, and the model's settings that were given."""

    name: str
    store: Store | None
    settings: Settings | None
    queue: str | None
    max_batch_rows: int | None
    time_limit: float | None
    latency_target: float | None
    max_backlog: int | None
    promote: bool
    runtime: str

    def check(self) -> None:
        artifacts.check_name(self.name)
        if self.runtime not in set(RuntimeChoice):
            raise RegistrationRefused(f"runtime={self.runtime!r}: give one of {', '.join(RuntimeChoice)}")
        check_settings(**self.given)

    @property
    def max_bytes(self) -> int:
        return (self.settings or load_settings()).max_artifact_bytes

    @property
    def given(self) -> dict[str, Any]:
        """The model's settings; None leaves one as it is."""
        return {setting.value: getattr(self, setting) for setting in ModelSetting}


def register(
    name: str,
    estimator: Any,
    X_sample: Any,
    y_sample: Any = None,
    *,
    store: Store | None = None,
    settings: Settings | None = None,
    trust_types: Sequence[str] = (),
    queue: str | None = None,
    max_batch_rows: int | None = None,
    time_limit: float | None = None,
    latency_target: float | None = None,
    max_backlog: int | None = None,
    promote: bool = True,
    runtime: Literal["auto", "sklearn", "onnx"] = "auto",
) -> VersionRecord:
    """Make a fitted estimator the next version of the model `name`.

    `X_sample`, (n_rows, n_features), is rows as they will be submitted, in the form the estimator was fitted with: an
    array, a DataFrame, or a list of str for a text model. Names, types and missing values of the signature come from
    it; a few hundred rows are plenty. `y_sample`, (n_rows,), is checked against the estimator's classes. `trust_types`
    are the full names of types in the estimator that skops does not know and that you have read; they are kept with
    the version. `queue`, `max_batch_rows`, `time_limit`, `latency_target` (seconds) and `max_backlog` (rows) are
    settings of the model; None leaves them as they are. `promote` points the alias `champion` to the new version; the
    first version always gets it.
    Without `store`, the one of `settings` (default: INFERQ_*) is opened.

    `runtime` says what computes `predict` and `predict_proba`: "onnx" (extra `onnx`), after a conversion whose answers
    are compared with the estimator's on the sample and on rows made from it; "sklearn"; or "auto", which takes ONNX
    when those answers agree and come sooner, for one row and for a batch. The version says which, and why.

    Raises RegistrationRefused, and leaves no version behind, when the estimator is not fitted, cannot be saved, holds
    types that are not approved, predicts something else after loading than before, or cannot be served by the runtime
    "onnx" that was asked for.
    """
    target = _Target(
        name, store, settings, queue, max_batch_rows, time_limit, latency_target, max_backlog, promote, runtime
    )
    target.check()
    candidate = _Candidate(
        _dump(estimator),
        Format.SKOPS,
        tuple(sorted(set(trust_types))),
        trust_pickle=False,
        max_bytes=target.max_bytes,
    )
    loaded = _open(candidate)
    sample = as_sample(X_sample, estimator)
    _check_truth(estimator, len(sample), y_sample)
    return _enter(target, candidate, estimator, loaded, sample)


def register_file(
    name: str,
    path: str | Path,
    *,
    sample: Any = None,
    trust_pickle: bool = False,
    trust_types: Sequence[str] = (),
    store: Store | None = None,
    settings: Settings | None = None,
    queue: str | None = None,
    max_batch_rows: int | None = None,
    time_limit: float | None = None,
    latency_target: float | None = None,
    max_backlog: int | None = None,
    promote: bool = True,
    runtime: Literal["auto", "sklearn", "onnx"] = "auto",
) -> VersionRecord:
    """Make an estimator in a `.skops`, `.joblib`, `.pkl` or `.pickle` file the next version of the model `name`.

    `sample` is the path of a CSV file with a header line, or rows as in `register`. Without it, the signature comes
    from the estimator's `n_features_in_` and `feature_names_in_`: all columns count as numbers, the types of the
    original columns are unknown, and the smoke prediction sees zeros only; models that take strings need a sample.
    A joblib or pickle file can run any code when it is opened: `trust_pickle=True` says that you know where it comes
    from, for exactly these bytes. Everything else is as in `register`.

    Also raises RegistrationRefused when the file was written by another scikit-learn than the one that runs here.
    """
    target = _Target(
        name, store, settings, queue, max_batch_rows, time_limit, latency_target, max_backlog, promote, runtime
    )
    target.check()
    candidate = _read_file(
        Path(path), tuple(sorted(set(trust_types))), trust_pickle=trust_pickle, max_bytes=target.max_bytes
    )
    try:
        first, second = _open(candidate), _open(candidate)
    except RegistrationRefused as error:
        raise RegistrationRefused(f"{path}: {error}") from error
    if sample is None:
        rows = stand_in(first)
    elif isinstance(sample, (str, Path)):
        rows = read_csv(Path(sample), first)
    else:
        rows = as_sample(sample, first)
    return _enter(target, candidate, first, second, rows)


def _dump(estimator: Any) -> bytes:
    try:
        return formats.dump(estimator)
    except Exception as error:  # skops has no common root for what it cannot save
        raise RegistrationRefused(
            f"{type(estimator).__name__} cannot be saved with skops ({type(error).__name__}: {error}). Functions must "
            "be importable, not lambdas; or save it with joblib and use register_file(…, trust_pickle=True)"
        ) from error


def _read_file(path: Path, trust_types: tuple[str, ...], *, trust_pickle: bool, max_bytes: int) -> _Candidate:
    kind = formats.SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise RegistrationRefused(f"{path.name}: expected a file that ends with {', '.join(formats.SUFFIXES)}")
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise RegistrationRefused(f"{path} cannot be read: {error.strerror}") from error
    if not data:
        raise RegistrationRefused(f"{path} is empty")
    if kind is not Format.SKOPS and not trust_pickle:
        raise RegistrationRefused(
            f"{path.name} is a pickle, which can run any code when it is opened. If you know where it comes from "
            f"(SHA-256 {artifacts.digest_of(data)}), say --trust-pickle (trust_pickle=True); safer: save it with skops"
        )
    return _Candidate(data, kind, trust_types, trust_pickle=kind is not Format.SKOPS, max_bytes=max_bytes)


def _open(candidate: _Candidate) -> Any:
    """The estimator as a worker would get it. Raises RegistrationRefused."""
    try:
        if candidate.kind is Format.SKOPS:
            _check_types(candidate)
        opened = formats.open_artifact(
            candidate.data,
            candidate.kind,
            candidate.trusted_types,
            trust_pickle=candidate.trust_pickle,
            max_bytes=candidate.max_bytes,
        )
    except ArtifactRejected as error:
        raise RegistrationRefused(str(error)) from error
    if opened.sklearn_version != sklearn.__version__:
        raise RegistrationRefused(
            f"the file was written by scikit-learn {opened.sklearn_version}, here runs {sklearn.__version__}: its "
            "predictions could differ. Fit it again here, or install that version"
        )
    return opened.estimator


def _check_types(candidate: _Candidate) -> None:
    unapproved = formats.unapproved_types(candidate.data, candidate.trusted_types, max_bytes=candidate.max_bytes)
    if unapproved:
        options = " ".join(f"--trust-type {name}" for name in unapproved)
        raise RegistrationRefused(
            f"the model holds types that nobody approved: {', '.join(unapproved)}. Read their code; if they are "
            f"safe to build from a file, register again with trust_types={unapproved} ({options})"
        )


def _check_truth(estimator: Any, n_rows: int, truth: Any) -> None:
    if truth is None:
        return
    labels = np.asarray(truth)
    if len(labels) != n_rows:
        raise RegistrationRefused(f"y_sample has {len(labels)} values for the {n_rows} rows of X_sample")
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, np.ndarray) and classes.ndim == labels.ndim == 1:
        foreign = sorted({str(label) for label in labels.tolist()} - {str(label) for label in classes.tolist()})
        if foreign:
            raise RegistrationRefused(f"y_sample has labels that the estimator does not know: {foreign[:10]}")


def _enter(target: _Target, candidate: _Candidate, original: Any, loaded: Any, sample: Sample) -> VersionRecord:
    signature = infer(original, sample)
    _smoke(signature, original, loaded, sample)
    served = choose(RuntimeChoice(target.runtime), loaded, signature, sample)
    settings = target.settings or load_settings()
    if settings.artifacts_url is None:
        settings.make_home()
    with nullcontext(target.store) if target.store is not None else closing(open_store(settings)) as store:
        version = _write(target.name, candidate, signature, served, settings)
        if any(value is not None for value in target.given.values()):
            store.put_model(target.name, **target.given)
        first = target.promote or not _has_champion(store, target.name)
        return store.add_version(version, aliases=(CHAMPION,) if first else ())


def _write(name: str, candidate: _Candidate, signature: Signature, served: Served, settings: Settings) -> NewVersion:
    """Write the artifacts; what is to be entered for them."""
    version = NewVersion(
        model=name,
        uri=artifacts.write(settings.artifacts, name, candidate.data, candidate.kind),
        digest=artifacts.digest_of(candidate.data),
        format=candidate.kind,
        trusted_types=candidate.trusted_types,
        trust_pickle=candidate.trust_pickle,
        sklearn_version=sklearn.__version__,
        signature=signature.to_json(),
        runtime=served.runtime,
        runtime_reason=served.reason,
    )
    if served.onnx is None:
        return version
    uri = artifacts.write(settings.artifacts, name, served.onnx, artifacts.ONNX_SUFFIX)
    return replace(version, onnx_uri=uri, onnx_digest=artifacts.digest_of(served.onnx))


def _has_champion(store: Store, name: str) -> bool:
    try:
        return CHAMPION in store.aliases(name)
    except UnknownModel:
        return False


def _smoke(signature: Signature, original: Any, loaded: Any, sample: Sample) -> None:
    """Raise RegistrationRefused unless loaded and original agree on the sample, the loaded one fed through JSON."""
    rows = spread(sample, TRIED_ROWS)
    try:
        stored = build(signature, [signature.check(rows).json])
        answers = [(call(original, method, rows), call(loaded, method, stored)) for method in signature.methods]
    except Exception as error:  # the estimator is foreign code
        kind = "" if isinstance(error, InferqError) else f"{type(error).__name__}: "
        raise RegistrationRefused(f"the loaded model cannot predict the sample: {kind}{error}") from error
    for method, (expected, got) in zip(signature.methods, answers, strict=True):
        for place, (before, after) in enumerate(zip(expected, got, strict=True)):
            if not _agree(before, after):
                raise RegistrationRefused(
                    f"{method} gives something else after saving and loading: row {place} of the sample was "
                    f"{str(before)[:80]}, is {str(after)[:80]}. A model must answer equal rows equally"
                )


def _agree(expected: Any, got: Any) -> bool:
    try:
        left, right = np.asarray(expected), np.asarray(got)
    except ValueError:  # lists of different lengths, such as the probabilities of several outputs
        return len(expected) == len(got) and all(map(_agree, expected, got))
    if left.shape != right.shape:
        return False
    if left.dtype.kind == "f" and right.dtype.kind in "fiu":
        return bool(np.allclose(right, left, rtol=_RELATIVE, atol=_ABSOLUTE))
    return bool((left == right).all())
