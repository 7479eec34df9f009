"""The asynchronous client: the event loop goes on, threads stay few, and nothing is left behind."""

import asyncio
import threading

import pytest
from installation import ROW

from inferq import (
    Client,
    IdempotencyConflict,
    InferqError,
    InvalidInput,
    SettingsError,
    State,
    StoreUnavailable,
    UnknownJob,
    WaitTimeout,
)
from inferq.aio import DRAWN_ITEMS, THREADS, AsyncClient
from inferq_core.ids import new_job_id
from inferq_core.notify import CHANNEL_PREFIX, Notifier
from inferq_core.redis_lists import client_of

PATIENCE = 60


def run(body):
    asyncio.run(asyncio.wait_for(body, PATIENCE))


async def until(condition):
    while not condition():  # noqa: ASYNC110  # a thread makes it true
        await asyncio.sleep(0.005)


class HeldStore:
    """The store, with an `accept` that can be held; remembers how many jobs came together."""

    def __init__(self, store):
        self._store = store
        self.groups = []
        self.gate = threading.Event()
        self.gate.set()

    def __getattr__(self, name):
        return getattr(self._store, name)

    def accept(self, jobs):
        self.groups.append(len(jobs))
        assert self.gate.wait(PATIENCE)
        return self._store.accept(jobs)


@pytest.fixture
def held(installation):
    return HeldStore(installation.store)


@pytest.fixture
def held_client(installation, held):
    with Client(installation.settings, store=held) as client:
        yield client


def test_submits_that_meet_share_a_transaction_and_the_loop_goes_on(held, held_client):
    async def body():
        async with AsyncClient(client=held_client) as client:
            held.gate.clear()
            first = asyncio.create_task(client.submit("sums", ROW))
            await until(lambda: held.groups)
            rest = [asyncio.create_task(client.submit("sums", ROW)) for _ in range(300)]
            await until(lambda: len(client._submits._waiting) == 300)
            held.gate.set()
            jobs = await asyncio.gather(first, *rest)
            assert len(set(jobs)) == 301
            assert await jobs[-1].state() is State.QUEUED

    run(body())
    assert held.groups == [1, 300]


def test_a_mistake_is_the_fault_of_one(installation):
    async def body():
        async with AsyncClient(client=installation.client) as client:
            await client.submit("sums", ROW, idempotency_key="taken")
            conflict, short, *fine = await asyncio.gather(
                client.submit("sums", [0, 0, 0, 0], idempotency_key="taken"),
                client.submit("sums", [1, 2]),
                *(client.submit("sums", ROW) for _ in range(20)),
                return_exceptions=True,
            )
            assert isinstance(conflict, IdempotencyConflict)
            assert isinstance(short, InvalidInput)
            assert len({job.id for job in fine}) == 20

    run(body())
    assert installation.store.counts() == {("sums", State.QUEUED): 21}


def test_a_submit_cancelled_before_its_group_leaves_goes_nowhere(installation, held, held_client):
    async def body():
        async with AsyncClient(client=held_client) as client:
            held.gate.clear()
            first = asyncio.create_task(client.submit("sums", ROW))
            await until(lambda: held.groups)
            cancelled, kept = (asyncio.create_task(client.submit("sums", ROW)) for _ in range(2))
            await until(lambda: len(client._submits._waiting) == 2)
            cancelled.cancel()
            held.gate.set()
            await asyncio.gather(first, kept)
            with pytest.raises(asyncio.CancelledError):
                await cancelled

    run(body())
    assert held.groups == [1, 1]
    assert installation.store.counts() == {("sums", State.QUEUED): 2}


def test_two_thousand_waits_share_one_thread(installation):
    jobs = installation.client.submit_many("sums", [ROW] * 2_000)
    before = threading.active_count()

    async def body():
        async with AsyncClient(client=installation.client) as client:
            waits = [asyncio.create_task(client.job(job.id).result()) for job in jobs]
            await until(lambda: client._watch is not None and len(client._watch._wait.outstanding) == 2_000)
            # its own, the watch, and the subscription to notifications with the thread that starts it
            assert threading.active_count() - before <= THREADS + 3
            await asyncio.to_thread(installation.finish, *jobs)
            results = await asyncio.gather(*waits)
            assert [result.id for result in results] == [job.id for job in jobs]
            assert client._watch._arrivals == {}

    run(body())


def test_a_notification_wakes_the_waiting_coroutine(installation, monkeypatch):
    monkeypatch.setattr("inferq.waiting.POLL_FIRST", 3600.0)
    broker = client_of(installation.settings.broker, connect_timeout=4)
    notifier = Notifier(installation.settings.broker)

    async def body():
        async with AsyncClient(client=installation.client) as client:
            small, large = await client.submit("sums", ROW), await client.submit("sums", ROW)
            reply_to = installation.client._waiter.reply_to
            channel = f"{CHANNEL_PREFIX}{reply_to}"
            waits = asyncio.gather(small.result(), large.result())
            await until(lambda: dict(broker.pubsub_numsub(channel))[channel.encode()])
            installation.finish(small)
            installation.finish(large)
            notifier.notify({reply_to: [installation.store.result(small.id)]})
            broker.publish(channel, b'["' + large.id.encode() + b'"]')
            assert [result.id for result in await waits] == [small.id, large.id]

    run(body())
    notifier.close()
    broker.close()


def test_several_may_wait_for_one_job(installation):
    job = installation.client.submit("sums", ROW)

    async def body():
        async with AsyncClient(client=installation.client) as client:
            waits = [asyncio.create_task(client.result(job.id, timeout=None)) for _ in range(3)]
            completed = client.as_completed([job])
            waits.append(asyncio.create_task(anext(completed)))
            await until(lambda: client._watch and len(client._watch._arrivals.get(job.id, ())) == 4)
            waits[0].cancel()
            installation.finish(job)
            assert [(await wait).id for wait in waits[1:]] == [job.id] * 3
            await completed.aclose()

    run(body())


def test_waits_that_end_early_leave_nothing_behind(installation):
    jobs = installation.client.submit_many("sums", [ROW] * 4)

    async def body():
        async with AsyncClient(client=installation.client) as client:
            with pytest.raises(WaitTimeout, match=r"still queued after 0\.01 s"):
                await client.result(jobs[0].id, timeout=0.01)
            cancelled = asyncio.create_task(client.job(jobs[1].id).result())
            await until(lambda: jobs[1].id in client._watch._wait.outstanding)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            installation.finish(jobs[2])
            async for job in client.as_completed(jobs):
                assert job == jobs[2]
                break
            await until(lambda: not client._watch._arrivals)
            # The next id that comes lets the thread drop those that went.
            installation.finish(jobs[0])
            await client.result(jobs[0].id, timeout=None)
            assert not client._watch._wait.outstanding

    run(body())


@pytest.mark.parametrize("question", ["results", "states"])
def test_a_store_that_is_away_is_told_to_all_who_wait_and_to_nobody_after(installation, monkeypatch, question):
    jobs = installation.client.submit_many("sums", [ROW] * 3)

    def away(_):
        raise StoreUnavailable("the database does not answer")

    async def body():
        async with AsyncClient(client=installation.client) as client:
            first = asyncio.create_task(client.result(jobs[0].id, timeout=None))
            await until(lambda: client._watch and client._watch._wait.outstanding)
            installation.finish(jobs[1])
            with monkeypatch.context() as patched:
                patched.setattr(installation.store, question, away)
                rest = [asyncio.create_task(client.result(job.id, timeout=None)) for job in jobs[1:]]
                for wait in (first, *rest):
                    with pytest.raises(StoreUnavailable):
                        await wait
            installation.finish(jobs[0], jobs[2])
            results = await asyncio.gather(*(client.result(job.id, timeout=None) for job in jobs))
            assert [result.outputs for result in results] == [[7]] * 3

    run(body())


def test_an_unknown_id_does_not_disturb_the_others(installation):
    job = installation.client.submit("sums", ROW)

    async def body():
        async with AsyncClient(client=installation.client) as client:
            known = asyncio.create_task(client.result(job.id, timeout=None))
            with pytest.raises(UnknownJob):
                await client.result(new_job_id(), timeout=None)
            installation.finish(job)
            assert (await known).id == job.id

    run(body())


def test_an_asynchronous_source_is_drawn_from_as_handles_are_taken(installation):
    drawn = []

    async def rows():
        while True:
            drawn.append(None)
            yield [float(len(drawn))] * 4

    async def body():
        async with AsyncClient(client=installation.client) as client:
            stream = client.submit_stream("sums", rows())
            jobs = [await anext(stream) for _ in range(3)]
            await stream.aclose()
            assert await jobs[0].state() is State.QUEUED
            assert len(drawn) <= DRAWN_ITEMS

    run(body())


def test_an_item_of_an_asynchronous_source_is_named_and_those_before_are_kept(installation):
    async def rows():
        for number in range(2 * DRAWN_ITEMS):
            yield [1, 2] if number == DRAWN_ITEMS + 7 else ROW

    async def body():
        accepted = []
        async with AsyncClient(client=installation.client) as client:
            with pytest.raises(InvalidInput, match=f"item {DRAWN_ITEMS + 7}: "):
                accepted.extend([job async for job in client.submit_stream("sums", rows())])
            async for job in client.submit_stream("sums", rows(), priority="interactive"):
                accepted.append(job)
                if len(accepted) == 5:
                    break

    run(body())
    assert installation.store.counts()["sums", State.QUEUED] >= DRAWN_ITEMS


def test_closing_ends_the_waits_and_the_job_goes_on(installation):
    job = installation.client.submit("sums", ROW)

    async def body():
        client = AsyncClient(client=installation.client)
        waiting = asyncio.create_task(client.result(job.id, timeout=None))
        await until(lambda: client._watch and client._watch._wait.outstanding)
        await client.close()
        with pytest.raises(InferqError, match="closed meanwhile"):
            await waiting
        with pytest.raises(InferqError, match="is closed"):
            await client.state(job.id)
        with pytest.raises(InferqError, match="is closed"):
            await client.submit("sums", ROW)
        await client.close()
        assert not [
            thread for thread in threading.enumerate() if thread.name.startswith(("inferq-watch", "inferq-aio"))
        ]

    run(body())
    assert job.state() is State.QUEUED, "the client that was given stays open"


def test_one_client_belongs_to_one_loop(installation):
    client = AsyncClient(client=installation.client)
    job = installation.client.submit("sums", ROW)
    run(client.state(job.id))
    with pytest.raises(InferqError, match="another event loop"):
        run(client.state(job.id))
    run(client.close())


def test_it_opens_its_own_client_from_settings(installation):
    async def body():
        async with AsyncClient(installation.settings) as client:
            job = await client.submit("sums", ROW)
            installation.finish(job)
            assert (await job.result(timeout=PATIENCE)).outputs == [7]

    run(body())


def test_settings_and_a_client_do_not_mix(installation):
    with pytest.raises(SettingsError, match="client"):
        AsyncClient(installation.settings, client=installation.client)
    with pytest.raises(SettingsError, match="queue"):
        AsyncClient(installation.settings, queue="other")
