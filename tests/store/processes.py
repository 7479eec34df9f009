"""Bodies for processes that use one store at once. Each opens it by itself, as workers and applications do."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from given import LOG, new_job, succeeded

from inferq_core.ids import new_batch_id
from inferq_core.settings import load_settings
from inferq_core.store import open_store
from inferq_core.store.records import NewVersion

TIMEOUT_S = 120


def in_processes(body, arguments):
    """`body(*arguments[i])` in process i, all at once; what each returned."""
    with ProcessPoolExecutor(len(arguments), mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(body, *some) for some in arguments]
        return [future.result(timeout=TIMEOUT_S) for future in running]


def in_threads(body, arguments):
    """The same in threads of this process."""
    with ThreadPoolExecutor(len(arguments)) as pool:
        running = [pool.submit(body, *some) for some in arguments]
        return [future.result(timeout=TIMEOUT_S) for future in running]


def run(body, *arguments):
    """For processes and threads that do different things."""
    return body(*arguments)


def opened(url):
    return open_store(load_settings(store_url=url))


def claim_all(url, ids, size):
    """Ids of the jobs that this process got, when it tries to claim all of them in batches of `size`."""
    store = opened(url)
    got = []
    for start in range(0, len(ids), size):
        claim = store.claim(new_batch_id(), ids[start : start + size], worker="any", lease=60)
        got += [job.id for job in claim.jobs]
    store.close()
    return got


def claim_and_complete_all(url, ids, size):
    """How many results this process wrote."""
    store = opened(url)
    n = 0
    for start in range(0, len(ids), size):
        batch_id = new_batch_id()
        claim = store.claim(batch_id, ids[start : start + size], worker="any", lease=60)
        if claim.jobs:
            n += len(store.complete(batch_id, [succeeded(job.id) for job in claim.jobs], LOG).ids)
    store.close()
    return n


def complete_one(url, batch_id, ids):
    store = opened(url)
    written = store.complete(batch_id, [succeeded(id_) for id_ in ids], LOG).ids
    store.close()
    return written


def cancel_each(url, ids):
    """What this process found when it cancelled the jobs one by one."""
    store = opened(url)
    found = {}
    for job_id in ids:
        found |= store.cancel([job_id])
    store.close()
    return found


def cancel_all(url, ids):
    store = opened(url)
    found = dict(store.cancel(ids))
    store.close()
    return found


def claim_and_give_back(url, ids, rounds):
    """Move the jobs between queued and running, as workers that stop do."""
    store = opened(url)
    for _ in range(rounds):
        batch_id = new_batch_id()
        if store.claim(batch_id, ids, worker="any", lease=60).jobs:
            store.release(batch_id, max_attempts=10_000)
    store.close()


def submit_with_keys(url, keys):
    """The ids that answered jobs with these idempotency keys, and how many of them are this process's."""
    store = opened(url)
    jobs = [new_job(idempotency_key=key, payload_digest="same") for key in keys]
    answer = store.accept(jobs)
    store.close()
    return list(answer.ids), len(answer.fresh)


def elect(url, holder):
    store = opened(url)
    won = store.elect("keeper", holder, lease=60)
    store.close()
    return won


def add_versions(url, n):
    """The numbers that this process got."""
    store = opened(url)
    numbers = [store.add_version(version(), aliases=("champion",)).number for _ in range(n)]
    store.close()
    return numbers


def version(model="digits", **options):
    defaults = {
        "model": model,
        "uri": "file:///artifacts/digits.skops",
        "digest": "00",
        "format": "skops",
        "trusted_types": ("numpy.dtype",),
        "trust_pickle": False,
        "sklearn_version": "1.9.0",
        "signature": "{}",
    }
    return NewVersion(**(defaults | options))


def store_id(url):
    store = opened(url)
    known = store.store_id
    store.close()
    return known
