"""The Celery task that every team writes by hand, written with care.

One task per prediction, models loaded once per process, late acknowledgement, one durable commit per result. `answer`
is the same for those who want the value back: Celery's result backend on Redis, and no SQL at all. Its settings
come from the environment, as such things do: BENCH_BROKER, BENCH_STORE, BENCH_MODELS.
"""

import os
import time
from pathlib import Path

import joblib
from celery import Celery
from celery.signals import worker_process_init
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, create_engine, event

app = Celery("handwritten", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=4,
    worker_proc_alive_timeout=120,
    broker_connection_retry_on_startup=True,
)

metadata = MetaData()
results = Table(
    "handwritten_results",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("prediction", Integer, nullable=False),
    Column("done_at", Float, nullable=False),
)


def make_engine():
    engine = create_engine(os.environ["BENCH_STORE"])
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def durable(connection, _record):
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
                connection.execute(f"PRAGMA {pragma}")

    return engine


engine = None
models = {}


@worker_process_init.connect
def load(**_):
    global engine
    engine = make_engine()
    models.update((path.stem, joblib.load(path)) for path in Path(os.environ["BENCH_MODELS"]).glob("*.joblib"))


@app.task(name="handwritten.predict", bind=True)
def predict(self, model, row):
    prediction = models[model].predict([row])[0]
    with engine.begin() as connection:
        connection.execute(results.insert().values(id=self.request.id, prediction=int(prediction), done_at=time.time()))


@app.task(name="handwritten.answer", ignore_result=False)
def answer(model, row):
    return int(models[model].predict([row])[0])
