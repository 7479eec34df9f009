"""Whether the versions that aliases point to can be loaded as they were registered."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping

from inferq_core.errors import ArtifactRejected
from inferq_core.settings import Settings
from inferq_core.store.contract import Registry
from inferq_core.store.records import VersionRecord
from inferq_core.store.registry import DEFAULT_ALIAS
from inferq_monitoring.findings import Finding, fail, ok, warn


def installed() -> bool:
    """Whether this installation can read artifacts."""
    return all(importlib.util.find_spec(name) is not None for name in ("fsspec", "sklearn", "skops"))


def check_models(store: Registry) -> list[Finding]:
    """Whether each model has a champion."""
    models = store.models()
    if not models:
        return [warn("models", "no model is registered", "`inferq models register NAME FILE`")]
    return [judge_champion(model.name, store.aliases(model.name)) for model in models]


def judge_champion(model: str, aliases: Mapping[str, int]) -> Finding:
    if DEFAULT_ALIAS not in aliases:
        return fail(
            "models",
            f"{model} has no {DEFAULT_ALIAS}: jobs that name no version fail",
            f"`inferq models alias {model} {DEFAULT_ALIAS} VERSION`",
        )
    return ok("models", f"{model}: {', '.join(f'{alias} is version {n}' for alias, n in aliases.items())}")


def named_versions(store: Registry) -> list[VersionRecord]:
    """The versions that some alias points to: those that jobs reach without naming a number."""
    versions = []
    for model in store.models():
        numbers = set(store.aliases(model.name).values())
        versions += [version for version in store.versions(model.name) if version.number in numbers]
    return versions


def check_artifact(version: VersionRecord, settings: Settings) -> list[Finding]:
    """Whether the artifact is there and unchanged. Reads it in pieces; loads nothing of it. Needs `installed()`."""
    import sklearn  # noqa: PLC0415 - an installation without workers has none

    from inferq_models.artifacts import verify  # noqa: PLC0415 - as above

    return list(judge_artifact(version, lambda: verify(settings.artifacts, version), sklearn.__version__))


def judge_artifact(version: VersionRecord, verify: Callable[[], int], sklearn_version: str) -> Iterator[Finding]:
    title = f"{version.model} version {version.number}"
    try:
        n_bytes = verify()
    except ArtifactRejected as error:
        yield fail("artifacts", str(error), "restore the file, or point the aliases to another version")
        return
    if version.sklearn_version != sklearn_version:
        yield warn(
            "artifacts",
            f"{title} was fitted with scikit-learn {version.sklearn_version}, here is {sklearn_version}",
            "install the version it was fitted with, or register it anew; predictions may differ",
        )
    else:
        yield ok("artifacts", f"{title} is unchanged, {n_bytes / 1e6:,.1f} MB")
