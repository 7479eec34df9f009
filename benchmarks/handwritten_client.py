"""Enqueues the backlog of the hand-written task."""

import os

import sqlalchemy as sa


def prepare(environment, rows, jobs):
    """Make the table and enqueue `jobs` tasks, one row each."""
    os.environ.update(environment)
    from benchmarks import handwritten

    handwritten.app.conf.broker_url = environment["BENCH_BROKER"]
    engine = sa.create_engine(environment["BENCH_STORE"])
    handwritten.metadata.drop_all(engine)
    handwritten.metadata.create_all(engine)
    with handwritten.app.connection_for_write(environment["BENCH_BROKER"]) as connection:
        for index in range(jobs):
            handwritten.predict.apply_async((rows[index % len(rows)].tolist(),), connection=connection)
