"""The models that a process holds, and which version serves a job right now."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager

from inferq_core.messages import Limits
from inferq_core.rollout import Rollout
from inferq_core.settings import Settings
from inferq_core.states import Method
from inferq_core.store.contract import Store
from inferq_core.store.records import LogEntry, Runtime, VersionRecord
from inferq_models.loader import LoadedModel, load, runtime_of
from inferq_models.runtimes.reasons import OnnxUnavailable

# Seconds for which a model's settings and aliases are believed: a moved alias is followed within this time.
BELIEVE_SECONDS = 1.0


class Catalog:
    """Resolves and loads versions lazily; keeps the most recently used `max_loaded_models`."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        worker: str,
        *,
        computing: Callable[[], AbstractContextManager[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.computing = computing  # enter it around whatever an artifact or a model may take long for
        self._store = store
        self._settings = settings
        self._worker = worker
        self._clock = clock
        self._limits: dict[str, tuple[float, Limits]] = {}
        self._versions: dict[tuple[str, str | None], tuple[float, VersionRecord]] = {}
        self._rollouts: dict[str, tuple[float, Rollout | None]] = {}
        self._loaded: OrderedDict[tuple[str, int, Runtime], LoadedModel] = OrderedDict()
        self._without_onnx: set[tuple[str, int]] = set()  # versions that this installation cannot run with it

    def limits(self, model: str) -> Limits:
        """The model's limits, with the worker's settings where it has none. Raises UnknownModel."""
        now = self._clock()
        known = self._limits.get(model)
        if known is None or known[0] <= now:
            limits = Limits.of(self._store.model(model), self._settings)
            known = self._limits[model] = (now + BELIEVE_SECONDS, limits)
        return known[1]

    def version(self, model: str, reference: str | None) -> VersionRecord:
        """The version that `reference` means now. Raises UnknownModel, UnknownVersion."""
        now = self._clock()
        known = self._versions.get((model, reference))
        if known is None or known[0] <= now:
            known = (now + BELIEVE_SECONDS, self._store.version(model, reference))
            self._versions[model, reference] = known
        return known[1]

    def rollout(self, model: str) -> Rollout | None:
        """How the model's traffic is split now."""
        now = self._clock()
        known = self._rollouts.get(model)
        if known is None or known[0] <= now:
            known = self._rollouts[model] = (now + BELIEVE_SECONDS, self._store.rollout(model))
        return known[1]

    def loaded(self, version: VersionRecord, method: Method) -> LoadedModel:
        """The version, loaded with the runtime that computes the method. Raises ArtifactRejected."""
        runtime = runtime_of(version, method)
        if (version.model, version.number) in self._without_onnx:
            runtime = Runtime.SKLEARN
        key = (version.model, version.number, runtime)
        model = self._loaded.get(key)
        if model is None:
            try:
                model = self._load(version, runtime)
            except OnnxUnavailable as error:
                self._fall_back(version, error)
                return self.loaded(version, method)
            self._loaded[key] = model
            while len(self._loaded) > self._settings.max_loaded_models:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return model

    def _fall_back(self, version: VersionRecord, error: OnnxUnavailable) -> None:
        """Let scikit-learn serve the version in this process, and say so once."""
        self._without_onnx.add((version.model, version.number))
        entry = self._entry(
            "warning", "onnx_unavailable", version, {"reason": str(error), "served_by": Runtime.SKLEARN}
        )
        self._store.append([entry])

    def _load(self, version: VersionRecord, runtime: Runtime) -> LoadedModel:
        started = self._clock()
        with self.computing():
            model = load(version, self._settings, runtime)
        seconds = round(self._clock() - started, 3)
        entries = [self._entry("info", "model_loaded", version, {"seconds": seconds, "runtime": runtime})]
        entries += [self._entry("warning", "model_warning", version, {"warning": text}) for text in model.warnings]
        self._store.append(entries)
        return model

    def _entry(self, level: str, event: str, version: VersionRecord, fields: dict[str, object]) -> LogEntry:
        return LogEntry(level, event, fields, model=version.model, version=version.number, worker=self._worker)
