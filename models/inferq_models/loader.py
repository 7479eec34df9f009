"""A version, loaded: the only way from an artifact to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sklearn

from inferq_core.errors import InvalidInput
from inferq_core.settings import Settings
from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_core.store.records import Runtime, VersionRecord
from inferq_models import artifacts, inputs, outputs
from inferq_models.formats import Format, open_artifact
from inferq_models.runtimes.session import METHODS, open_graph


@dataclass(frozen=True)
class LoadedModel:
    """A version's estimator in memory, or what stands for it.

    `warnings` are sentences for the log, such as a skew of versions.
    """

    version: VersionRecord
    signature: Signature
    estimator: Any = field(repr=False)
    warnings: tuple[str, ...] = ()

    def inputs(self, texts: Sequence[str]) -> Any:
        """The rows of many jobs (`jobs.inputs`) as one matrix, DataFrame or list of str, with len() = number of rows.

        Raises InvalidInput when a job was checked against another version that takes other rows.
        """
        return inputs.build(self.signature, texts)

    def call(self, method: Method, rows: Any) -> list[Any]:
        """One vectorised call; one JSON-able item per row.

        Raises InvalidInput for a method that the version does not have, UnusableOutput for what cannot be a result,
        and whatever the estimator raises.
        """
        if method not in self.signature.methods:
            offered = ", ".join(self.signature.methods)
            raise InvalidInput(f"{self.version.model} version {self.version.number} has no {method}; it has: {offered}")
        return outputs.as_rows(getattr(self.estimator, method)(rows), len(rows))


def runtime_of(version: VersionRecord, method: Method) -> Runtime:
    """What computes the method: a converted artifact has predictions and probabilities only."""
    return version.runtime if method in METHODS else Runtime.SKLEARN


def load(version: VersionRecord, settings: Settings, runtime: Runtime = Runtime.SKLEARN) -> LoadedModel:
    """Read, check and open the artifact that `runtime` reads.

    Raises ArtifactRejected when the digest differs, when types are not approved, when it is larger than
    `max_artifact_bytes`, and when it cannot be read; for ONNX
    also OnnxUnavailable: the artifact is in order and this installation cannot run it.
    """
    signature = Signature.from_json(version.signature)
    if runtime is Runtime.ONNX:
        return LoadedModel(version, signature, open_graph(artifacts.read(settings, version, runtime), signature))
    opened = open_artifact(
        artifacts.read(settings, version),
        Format(version.format),
        version.trusted_types,
        trust_pickle=version.trust_pickle,
        max_bytes=settings.max_artifact_bytes,
    )
    skew = version.sklearn_version != sklearn.__version__
    warning = (
        f"model_version_skew: fitted with scikit-learn {version.sklearn_version}, running {sklearn.__version__}; "
        "predictions may differ"
    )
    return LoadedModel(version, signature, opened.estimator, (warning,) if skew else ())
