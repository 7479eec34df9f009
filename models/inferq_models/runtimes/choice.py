"""Which runtime serves a version, decided once, when it is registered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inferq_core.errors import ArtifactRejected, RegistrationRefused
from inferq_core.signature import Signature
from inferq_core.store.records import Runtime, RuntimeChoice
from inferq_models.runtimes.conversion import convert
from inferq_models.runtimes.parity import check_parity
from inferq_models.runtimes.reasons import NotServed, OnnxUnavailable
from inferq_models.runtimes.session import open_graph
from inferq_models.runtimes.speed import measure
from inferq_models.runtimes.trees import count_nodes
from inferq_models.samples import Sample

# Nodes of trees that are converted without being asked: they take 5 s and 1 GB of memory.
MAX_NODES = 1_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """What serves, and why; `onnx` is the converted artifact when that is what serves."""

    runtime: Runtime
    reason: str
    onnx: bytes | None = None


def choose(choice: RuntimeChoice, estimator: Any, signature: Signature, sample: Sample) -> Served:
    """Raises RegistrationRefused when ONNX was asked for and cannot serve."""
    if choice is RuntimeChoice.SKLEARN:
        return Served(Runtime.SKLEARN, "asked for")
    try:
        return _convert(choice, estimator, signature, sample)
    except NotServed as error:
        if choice is RuntimeChoice.ONNX:
            raise RegistrationRefused(
                f"it cannot be served by ONNX: {error}. Register it with the runtime auto or sklearn"
            ) from error
        return Served(Runtime.SKLEARN, str(error))


def _convert(choice: RuntimeChoice, estimator: Any, signature: Signature, sample: Sample) -> Served:
    if choice is RuntimeChoice.AUTO and (n_nodes := count_nodes(estimator)) > MAX_NODES:
        raise NotServed(f"not tried: it has {n_nodes:,} nodes of trees, and auto converts {MAX_NODES:,} at the most")
    data = convert(estimator, signature)
    try:
        converted = open_graph(data, signature)
    except (ArtifactRejected, OnnxUnavailable) as error:
        raise NotServed(f"not convertible: {error}") from error
    why = "asked for"
    if choice is RuntimeChoice.AUTO:
        speed = measure(estimator, converted, signature, sample)
        if not speed.quicker:
            raise NotServed(f"not quicker: {speed}")
        why = str(speed)
    parity = check_parity(estimator, converted, signature, sample)
    return Served(Runtime.ONNX, f"{why}; {parity}", data)
