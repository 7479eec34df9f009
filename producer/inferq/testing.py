"""inferq for the tests of applications: a client with its own store and no broker, worker or network.

import pytest
from inferq.testing import TestingClient

@pytest.fixture
def client():
    with TestingClient() as client:
        client.fake_model("churn", lambda X: X[:, 0] > 30, sample=[[31.0, 2.0]])
        yield client

def test_a_customer_who_leaves(client):
    assert client.submit("churn", [40.0, 1.0]).result().outputs == [True]

Everything else is the real thing: rows are checked, jobs, results and feedback are in a (temporary) SQLite store, and
predictions go the way they go in a worker. Needs scikit-learn: `pip install inferq[worker]`.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from inferq.client import Client
from inferq.intake import Doorbell
from inferq_core.errors import SettingsError
from inferq_core.ids import new_batch_id
from inferq_core.messages import JobMessage
from inferq_core.settings import Settings, load_settings
from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_core.store.contract import Store
from inferq_core.store.records import NewVersion, VersionRecord

try:
    import pandas as pd
    import sklearn

    from inferq_models import register
    from inferq_models.artifacts import check_name
    from inferq_models.catalog import Catalog
    from inferq_models.infer import infer
    from inferq_models.loader import LoadedModel
    from inferq_models.prediction import predict_claim
    from inferq_models.routing import CHAMPION
    from inferq_models.samples import Sample, as_sample
except ModuleNotFoundError as error:
    raise ImportError(f"inferq.testing needs {error.name}: pip install 'inferq[worker]'") from error

WORKER = "testing"


class TestingClient(Client):
    """A `Client` whose jobs run in this process, on a temporary store that `close()` removes.

    `execute="inline"`: a job has ended when `submit` returns. `execute="manual"`: jobs stay queued, whatever is asked
    of them, until `run_pending()`; wait for them with a timeout. Settings may be overridden one by one
    (`max_rows_per_job=10`), except those that say where things are. For asyncio: `AsyncClient(client=…)`.
    """

    __test__ = False  # pytest would take it for a test

    def __init__(self, *, execute: Literal["inline", "manual"] = "inline", **overrides: Any) -> None:
        if execute not in ("inline", "manual"):
            raise SettingsError(f"execute={execute!r}: give 'inline' or 'manual'")
        self._inline = execute == "inline"
        self._fakes: dict[tuple[str, int], LoadedModel] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="inferq-testing-")
        try:
            super().__init__(_settings_in(Path(self._folder.name), overrides))
        except BaseException:
            self._folder.cleanup()
            raise

    def close(self) -> None:
        super().close()
        self._folder.cleanup()

    def run_pending(self) -> int:
        """Run the queued jobs in batches, as a worker would; how many there were."""
        return self._worker.run()

    def register(self, name: str, estimator: Any, X_sample: Any, **options: Any) -> VersionRecord:
        """`inferq_models.register`, here: a fitted estimator becomes the next version of the model `name`."""
        version = register(name, estimator, X_sample, store=self._store, settings=self.settings, **options)
        self._catalog.forget()
        return version

    def fake_model(self, name: str, predict: Callable[[Any], Any], *, sample: Any) -> VersionRecord:
        """Let `predict` answer for the model `name`, as its next version and champion.

        `sample`, (n_rows, n_features), is rows as they are submitted: a list of lists or of dicts, an array, a
        DataFrame, or a list of str. Rows that do not look like it are refused, as with a real model. `predict(X)` gets
        rows in the sample's form (an array, a DataFrame, a list of str) and returns one answer per row; what it raises
        is its jobs' failure.
        """
        check_name(name)
        signature = _signature(sample)
        version = self._store.add_version(_fake_version(name, signature), aliases=(CHAMPION,))
        estimator = SimpleNamespace(predict=predict)
        self._fakes[name, version.number] = LoadedModel(version, signature, estimator)
        self._catalog.forget()
        return version

    def _doorbell(self) -> Doorbell:
        catalog = _Catalog(self._store, self.settings, self._fakes)
        self._worker = _Worker(self._store, catalog, self.settings, inline=self._inline)
        return self._worker


class _Worker:
    """Stands where the broker does: what is published is run, at once or when somebody says so."""

    def __init__(self, store: Store, catalog: Catalog, settings: Settings, *, inline: bool) -> None:
        self._store = store
        self._catalog = catalog
        self._settings = settings
        self._inline = inline
        self._lock = threading.Lock()
        self._messages: list[JobMessage] = []

    def publish(self, messages: Sequence[JobMessage]) -> None:
        with self._lock:
            self._messages += messages
        if self._inline:
            self.run()

    def run(self) -> int:
        with self._lock:
            messages = sorted(self._messages, key=lambda message: message.priority)
            self._messages.clear()
            return sum(map(self._run_batch, messages))

    def close(self) -> None:
        """Nothing is connected."""

    def _run_batch(self, message: JobMessage) -> int:
        claim = self._store.claim(new_batch_id(), message.job_ids, worker=WORKER, lease=self._settings.lease)
        if claim.jobs:
            self._store.complete(claim.batch_id, *predict_claim(claim, self._catalog))
        return len(claim.jobs)


class _Catalog(Catalog):
    """Believes nothing for a while: a test that registers a version means the next job. Knows the fakes."""

    def __init__(self, store: Store, settings: Settings, fakes: dict[tuple[str, int], LoadedModel]) -> None:
        super().__init__(store, settings, WORKER, computing=nullcontext)
        self._fakes = fakes

    def version(self, model: str, reference: str | None) -> VersionRecord:
        return self._store.version(model, reference)

    def loaded(self, version: VersionRecord, method: Method) -> LoadedModel:
        return self._fakes.get((version.model, version.number)) or super().loaded(version, method)


class _StandIn:
    """Takes rows like the sample, so that a signature can be inferred without calling the fake."""

    def __init__(self, sample: Sample) -> None:
        self._holes = pd.DataFrame(sample).isna().to_numpy().any(axis=0)

    def predict(self, X: Any) -> list[int]:
        if (pd.DataFrame(X).isna().to_numpy().any(axis=0) & ~self._holes).any():
            raise ValueError("the sample has no missing values there")
        return [0] * len(X)


def _settings_in(folder: Path, overrides: dict[str, Any]) -> Settings:
    """Nothing of the environment says where things are: a test must never reach what is real."""
    places = {
        "home": folder,
        "store_url": f"sqlite:///{folder / 'inferq.db'}",
        "broker_url": "memory://",  # there is none, so nobody listens for notifications
        "artifacts_url": (folder / "artifacts").as_uri(),
    }
    if refused := sorted(places.keys() & overrides):
        raise SettingsError(f"a TestingClient has its own {', '.join(refused)}: leave it out")
    return load_settings(**places, **overrides)


def _signature(sample: Any) -> Signature:
    rows = as_sample(sample, None)
    return infer(_StandIn(rows), rows)


def _fake_version(name: str, signature: Signature) -> NewVersion:
    return NewVersion(
        model=name,
        uri="fake:",
        digest="0" * 64,
        format="skops",
        trusted_types=(),
        trust_pickle=False,
        sklearn_version=sklearn.__version__,
        signature=signature.to_json(),
    )
