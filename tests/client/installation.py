"""A client on a real store, with models in the registry, and no worker: tests end jobs themselves."""

import threading
from dataclasses import dataclass
from typing import Any

from inferq import Client, Method, Settings, State
from inferq_core.broker import Publisher
from inferq_core.columns import Column, Kind, Layout
from inferq_core.ids import new_batch_id
from inferq_core.signature import Signature
from inferq_core.store import SqlStore, open_store
from inferq_core.store.records import BatchLog, NewVersion, Outcome

FEATURES = 4
ROW = [1.0, 2.0, 3.0, 4.0]


def matrix_signature(features=FEATURES):
    columns = tuple(Column(None, Kind.NUMERIC, "float64") for _ in range(features))
    return Signature(layout=Layout.MATRIX, columns=columns, methods=(Method.PREDICT, Method.PREDICT_PROBA))


def frame_signature():
    columns = (
        Column("age", Kind.NUMERIC, "float64", nullable=True),
        Column("city", Kind.CATEGORICAL, "str"),
    )
    return Signature(layout=Layout.FRAME, columns=columns, methods=(Method.PREDICT,))


def add_version(store, model, signature):
    return store.add_version(
        NewVersion(
            model=model,
            uri="file:///nowhere",
            digest="0" * 64,
            format="skops",
            trusted_types=(),
            trust_pickle=False,
            sklearn_version="1.9.1",
            signature=signature.to_json(),
        ),
        aliases=["champion"],
    )


@dataclass
class Installation:
    client: Client
    store: SqlStore
    settings: Settings

    @classmethod
    def make(cls, settings):
        store = open_store(settings)
        add_version(store, "sums", matrix_signature())
        add_version(store, "people", frame_signature())
        return cls(Client(settings, store=store), store, settings)

    def close(self):
        self.client.close()
        self.store.close()

    def depth(self):
        publisher = Publisher(self.settings.broker)
        try:
            return publisher.depth(self.settings.queue)
        finally:
            publisher.close()

    def finish(self, *jobs, state=State.SUCCEEDED, outputs="[7]", **outcome: Any):
        """End the jobs as a worker would."""
        batch = new_batch_id()
        self.store.claim(batch, [job.id for job in jobs], worker="test", lease=60)
        outcomes = [Outcome(job.id, state, outputs, version=1, batch_rows=len(jobs), **outcome) for job in jobs]
        self.store.complete(batch, outcomes, BatchLog(len(jobs), len(jobs), 0.0))


def in_thread(work):
    """Start `work` in a thread; call the answer to have its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def answer():
        thread.join(60)
        assert not thread.is_alive()
        return results[0]

    return answer


def until(condition):
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came")
