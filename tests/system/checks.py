"""What every test of a whole system asserts."""

import numpy as np

from inferq import State
from inferq_models import register

TIMEOUT = 120


def rows_for(count, features=4):
    """Distinct rows whose sums are distinct, so that no answer can be taken for another."""
    return np.arange(count * features, dtype=float).reshape(count, features)


def register_model(system, name, estimator, rows=None, **options):
    rows = rows_for(10) if rows is None else rows
    if not hasattr(estimator, "classes_"):
        estimator.fit(rows)
    types = [f"{type(estimator).__module__}.{type(estimator).__qualname__}"]
    return register(name, estimator, rows, settings=system.settings, trust_types=types, **options)


def finish(system, jobs, timeout=TIMEOUT):
    """The results of the jobs, all of them succeeded, by id."""
    results = {done.id: done.result() for done in system.client.as_completed(jobs, timeout=timeout)}
    assert results.keys() == {job.id for job in jobs}
    return results


def assert_each_succeeded_once(system, jobs, rows, timeout=TIMEOUT):
    """Each job has exactly one result, equal to the offline answer, and nothing is left over."""
    results = finish(system, jobs, timeout)
    assert [results[job.id].outputs for job in jobs] == [[float(row.sum())] for row in rows]
    assert system.store.counts() == {("sum", State.SUCCEEDED): len(jobs)}
    return results
