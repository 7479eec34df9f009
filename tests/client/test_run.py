"""A run on both databases: its rows are there once, in order, however many processes submit them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from installation import FEATURES

from inferq import InvalidInput, State
from inferq.options import check_options
from inferq.row_jobs import RefusedRow
from inferq.run import Run, RunRequest

REQUEST = RunRequest("sums", check_options(), "d" * 64, "csv", None)
ROWS = [[float(number)] * FEATURES for number in range(2_300)]


@pytest.fixture
def begin(installation):
    opened = []

    def call(request=REQUEST):
        run = Run(installation.store, installation.settings, request)
        opened.append(run)
        return run

    yield call
    for run in opened:
        run.__exit__(None, None, None)


def states(installation, run, rows):
    return [installation.store.states([run.ids.at(row)]).get(run.ids.at(row)) for row in rows]


def test_nothing_is_accepted_at_first(begin):
    run = begin()
    assert (run.ids, run.accepted()) == (None, 0)


@pytest.mark.parametrize("n", [1, 2, 999, 1_000, 1_001, 2_300])
def test_another_process_knows_how_many_rows_were_accepted(begin, installation, n):
    run = begin()
    run.submit(0, run.check(ROWS[:n]))
    assert begin().accepted() == n
    assert states(installation, begin(), [0, n - 1, n]) == [State.QUEUED, State.QUEUED, None]
    assert sum(installation.store.counts().values()) == n


def test_rows_that_were_accepted_are_not_enqueued_again(begin, installation):
    run, other = begin(), begin()
    run.submit(0, run.check(ROWS[:10]))
    other.submit(0, other.check(ROWS[:20]))
    begin().submit(5, run.check(ROWS[5:30]))
    assert sum(installation.store.counts().values()) == 30


def test_processes_that_begin_at_once_share_the_jobs(begin, installation):
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda _: submitted(begin()), range(4)))
    assert len({run.ids for run in runs}) == 1
    assert sum(installation.store.counts().values()) == 1_000


def submitted(run):
    run.submit(0, run.check(ROWS[:1_000]))
    return run


@pytest.mark.parametrize("change", [{"name": "march"}, {"digest": "e" * 64}, {"format": "ndjson"}])
def test_another_request_is_another_run(begin, change):
    submitted(begin())
    assert begin(replace(REQUEST, **change)).accepted() == 0


def test_a_row_that_does_not_fit_is_named(begin):
    with pytest.raises(RefusedRow, match="expected 4 features, got 1") as refused:
        begin().check([*ROWS[:7], [1.0], *ROWS[:7]])
    assert refused.value.index == 7


def test_a_method_that_the_model_lacks_is_refused(begin):
    with pytest.raises(InvalidInput, match="'transform'"):
        begin(replace(REQUEST, options=check_options(method="transform"))).check(ROWS[:1])
