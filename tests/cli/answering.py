"""A worker's part, played by a thread: models in the registry, and jobs that end without an artifact."""

import random
import threading

import orjson
from sqlalchemy import select

from inferq import Method, State
from inferq_core.columns import Column, Kind, Layout
from inferq_core.ids import JobId, new_batch_id
from inferq_core.signature import Signature
from inferq_core.states import ErrorCode
from inferq_core.store.records import BatchLog, NewVersion, Outcome
from inferq_core.store.tables import pending

PAIR = (Column(None, Kind.NUMERIC, "float64"), Column(None, Kind.NUMERIC, "float64"))
NAMED = (Column("left", Kind.NUMERIC, "float64", nullable=True), Column("right", Kind.NUMERIC, "float64"))
# A row that starts with this fails.
POISON = -1.0
BATCH_JOBS = 300


def add_model(store, name, layout=Layout.MATRIX, columns=PAIR):
    signature = Signature(layout=layout, columns=columns, methods=(Method.PREDICT, Method.PREDICT_PROBA))
    version = NewVersion(
        model=name,
        uri="file:///nowhere",
        digest="0" * 64,
        format="skops",
        trusted_types=(),
        trust_pickle=False,
        sklearn_version="1.9.1",
        signature=signature.to_json(),
    )
    return store.add_version(version, aliases=["champion"])


class Answering:
    """Ends queued jobs in no order, `limit` at the most, with the sum of their row; then calls `at_limit`, once."""

    def __init__(self, store, *, limit=None, at_limit=lambda: None):
        self.answered = 0
        self._store = store
        self._limit = limit
        self._at_limit = at_limit
        self._stopping = threading.Event()
        self._random = random.Random(7)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()

    def _run(self):
        while not self._stopping.is_set():
            ids = self._queued()
            if not ids:
                self._stopping.wait(0.01)
                continue
            self._end(ids)
            if self.answered == self._limit:
                self._at_limit()
                return

    def _queued(self):
        query = select(pending.c.id).where(pending.c.batch_id.is_(None)).order_by(pending.c.id)
        ids = list(self._store._database.read(lambda connection: connection.scalars(query).all()))
        ids = ids if self._limit is None else ids[: self._limit - self.answered]
        self._random.shuffle(ids)
        return ids[:BATCH_JOBS]

    def _end(self, ids):
        batch = new_batch_id()
        claim = self._store.claim(batch, [JobId(id_) for id_ in ids], worker="test", lease=60)
        self._store.complete(batch, [_outcome(job) for job in claim.jobs], BatchLog(len(ids), len(ids), 0.0))
        self.answered += len(claim.jobs)


def _outcome(job):
    document = orjson.loads(job.inputs)
    (row,) = document["rows"] if isinstance(document, dict) else document
    if row[0] == POISON:
        return Outcome(
            job.id, State.FAILED, None, ErrorCode.MODEL_ERROR, "it raised ValueError", version=1, batch_rows=1
        )
    total = sum(value or 0 for value in row)
    return Outcome(job.id, State.SUCCEEDED, orjson.dumps([total]).decode(), version=1, batch_rows=1)
