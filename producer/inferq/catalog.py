"""What submitting must know of a model, read from the store and kept for a moment."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from inferq.options import is_text
from inferq_core.errors import InvalidInput
from inferq_core.messages import Limits
from inferq_core.settings import Settings
from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_core.store.contract import Registry

# Seconds for which a model's settings and the target of an alias may be out of date on this side. The worker reads the
# truth again; what this side is for is to refuse rows that do not fit.
FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """A model as one submit sees it."""

    model: str
    queue: str
    limits: Limits
    signature: Signature
    max_backlog: int | None  # rows


class Catalog:
    """Models and signatures by (model, version reference). Safe for threads."""

    def __init__(self, store: Registry, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._lock = threading.Lock()
        self._targets: dict[tuple[str, str | None], tuple[float, Target]] = {}
        self._signatures: dict[tuple[str, int], Signature] = {}  # versions are immutable
        self._limits: dict[str, Limits] = {}
        self._bounds: dict[str, int | None] = {}

    def target(self, model: str, reference: str | None, method: Method) -> Target:
        """Raises UnknownModel and UnknownVersion, which are asked for anew each time; InvalidInput for the others."""
        if not is_text(model):
            raise InvalidInput(f"model={model!r}: give the name of a model")
        target = self._fresh(model, reference)
        if method not in target.signature.methods:
            offered = ", ".join(target.signature.methods)
            raise InvalidInput(f"model {model!r} has no method {method.value!r}; it has {offered}")
        return target

    def limits(self, model: str) -> Limits:
        """The limits as last read for a submit; never asks the store."""
        return self._limits[model]

    def max_backlog(self, model: str) -> int | None:
        """The bound in rows as last read for a submit; never asks the store."""
        return self._bounds[model]

    def queue(self, model: str) -> str:
        """The queue of the model now, for a job that needs no check. Raises UnknownModel.

        Its limits and its bound are known then.
        """
        record = self._store.model(model)
        with self._lock:
            self._limits[model] = Limits.of(record, self._settings)
            self._bounds[model] = record.max_backlog
        return record.queue or self._settings.queue

    def forget(self) -> None:
        """Ask the store again: the registry has just changed."""
        with self._lock:
            self._targets.clear()

    def _fresh(self, model: str, reference: str | None) -> Target:
        key = (model, reference)
        read_at, target = self._targets.get(key, (float("-inf"), None))
        if target is not None and time.monotonic() - read_at < FRESH_SECONDS:
            return target
        target = self._read(model, reference)
        with self._lock:
            self._targets[key] = (time.monotonic(), target)
            self._limits[model] = target.limits
            self._bounds[model] = target.max_backlog
        return target

    def _read(self, model: str, reference: str | None) -> Target:
        record = self._store.model(model)
        version = self._store.version(model, reference)
        with self._lock:
            signature = self._signatures.get((model, version.number))
        if signature is None:
            signature = Signature.from_json(version.signature)
            with self._lock:
                self._signatures[model, version.number] = signature
        queue = record.queue or self._settings.queue
        limits = Limits.of(record, self._settings)
        return Target(model, queue, limits, signature, record.max_backlog)
