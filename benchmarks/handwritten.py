"""The Celery task that every team writes by hand, written with care.

One task per prediction, the model loaded once per process, late acknowledgement, one commit per result, two processes.
Its settings come from the environment, as such things do: BENCH_BROKER, BENCH_STORE, BENCH_MODEL.
"""

import os
import time

import joblib
from celery import Celery
from celery.signals import worker_process_init
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, create_engine, event

app = Celery("handwritten", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=4,
    worker_proc_alive_timeout=120,
    broker_connection_retry_on_startup=True,
)

metadata = MetaData()
results = Table(
    "results",
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
model = None


@worker_process_init.connect
def load(**_):
    global engine, model
    engine = make_engine()
    model = joblib.load(os.environ["BENCH_MODEL"])


@app.task(name="handwritten.predict", bind=True)
def predict(self, row):
    prediction = model.predict([row])[0]
    with engine.begin() as connection:
        connection.execute(results.insert().values(id=self.request.id, prediction=int(prediction), done_at=time.time()))
