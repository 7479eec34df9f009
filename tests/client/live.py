"""The models of the client contract, and a worker that serves them."""

import os
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from inferq import Client, Settings
from inferq_core.store import open_store
from inferq_models import register

UNSERVED = "unserved"
BOUND = 3


def add_models(add):
    """`sums` answers the sum of a row; `coasts` says whether a city has one, and raises for a city it does not know.

    `idle` and `bounded` are like `sums`, and in a queue that no worker serves; BOUND rows of `bounded` may wait.
    """
    X = np.arange(40, dtype=float).reshape(10, 4) % 7
    sums = LinearRegression().fit(X, X.sum(axis=1))
    add("sums", sums, X)
    add("idle", sums, X, queue=UNSERVED)
    add("bounded", sums, X, queue=UNSERVED, max_backlog=BOUND)
    cities = pd.DataFrame({"city": ["Lima", "Bern", "Oslo", "Ulm"] * 3})
    coasts = make_pipeline(OneHotEncoder(), LogisticRegression(C=100)).fit(cities, [1, 0, 1, 0] * 3)
    add("coasts", coasts, cities)


@contextmanager
def running_worker(folder, broker_url, queue):
    """Settings of a store with the models of the contract and a worker of one process."""
    settings = Settings(home=folder, broker_url=broker_url, queue=queue, queues=queue, concurrency=1)
    store = open_store(settings)
    add_models(lambda *args, **options: register(*args, store=store, settings=settings, **options))
    store.close()
    with (folder / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "inferq_workers", "worker"],
            env={**os.environ, **settings.environment()},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            with Client(settings) as client:
                client.submit("sums", [[0, 0, 0, 0]]).result(timeout=60)
            yield settings
        finally:
            worker.terminate()
            worker.wait(60)
