"""Takes what is due out of the outbox and sends it. The outbox is the truth: whoever dies here loses nothing.

One thread with an event loop, so that receivers that hang cost a socket each and no more. Celery's task only wakes it;
what no task tells of (a try that is due again, a job that the keeper ended) it finds by looking every second.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from inferq_core.documents import EVENT_MEDIA_TYPE, cloud_event
from inferq_core.errors import InferqError, StoreUnavailable
from inferq_core.logging import get_logger
from inferq_core.policy.delivery import Attempt, Verdict, judge
from inferq_core.receivers import parse_receiver
from inferq_core.settings import Settings
from inferq_core.signing import new_secret, secret_of_owner, secret_of_webhook, signed_headers
from inferq_core.store.contract import Store
from inferq_core.store.records import LogEntry
from inferq_core.store.webhook_records import Delivery, Settled
from inferq_workers.delivery.lookup import Names
from inferq_workers.delivery.posting import Poster
from inferq_workers.delivery.stream import EventStream

log = get_logger(__name__)
Answer = TypeVar("Answer")

ROLE = "deliverer"
# Deliveries under way, of all receivers and of one: whoever hangs has few of many.
MAX_UNDER_WAY = 256
MAX_PER_HOST = 8
# Seconds between two looks that nobody asked for.
LOOK_INTERVAL = 1.0
# Seconds for which this process counts as alive after it said so.
LEASE = 20.0
# Seconds besides the time of the attempt for which a delivery is held.
MARGIN = 5.0
# Seconds that what is under way has to end when this stops. What does not is tried again when its lease is over.
GRACE = 5.0
# Reads and writes of the store side by side.
THREADS = 4
# Seconds until a store that was away is asked again.
PAUSE = 1.0


class Deliverer:
    """Start it once; `wake` may be called from any thread."""

    def __init__(self, store: Store, settings: Settings, name: str) -> None:
        """Raises SettingsError when the event stream is wanted and cannot be."""
        self._store = store
        self._settings = settings
        self._name = name
        self._stream = EventStream(settings, store)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="inferq-outbox")
        self._under_way: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._beat_due = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="inferq-deliverer", daemon=True)

    def start(self) -> None:
        self._store.follow_all(wanted=self._settings.event_stream is not None)
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)

    def stop(self) -> None:
        """Take nothing more, and wait a moment for what is under way."""
        self._is_stopping = True
        self.wake()
        self._thread.join(2 * GRACE)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._stream.close()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        names = Names()
        poster = Poster(names, allowed=self._settings.webhook_networks, timeout=self._settings.webhook_timeout)
        streaming = asyncio.create_task(self._keep_streaming())
        try:
            while not self._is_stopping:
                self._woken.clear()
                if not await self._begin_some(poster):
                    await self._sleep()
                if streaming.done():
                    streaming.result()  # raises what broke it
            # Those that are left are cancelled when the loop ends.
            await asyncio.wait([streaming, *self._tasks], timeout=GRACE)
        finally:
            names.close()

    async def _begin_some(self, poster: Poster) -> bool:
        """Whether there was something to begin."""
        try:
            await self._say_alive()
            busy = +self._under_way
            claimed = await self._ask(lambda: self._claim(busy))
        except InferqError as error:
            log.warning("outbox_unavailable", reason=str(error), retry_in_seconds=PAUSE)
            await asyncio.sleep(PAUSE)
            return False
        for delivery in claimed:
            self._under_way[delivery.host] += 1
            task = asyncio.create_task(self._deliver(poster, delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return bool(claimed)

    def _claim(self, busy: Counter[str]) -> Sequence[Delivery]:
        room = MAX_UNDER_WAY - busy.total()
        if room <= 0:
            return []
        return self._store.claim_deliveries(
            lease=self._settings.webhook_timeout + MARGIN, busy=busy, per_host=MAX_PER_HOST, limit=room
        )

    async def _sleep(self) -> None:
        """Until somebody wakes it, a delivery has ended, or it is time to look."""
        try:
            async with asyncio.timeout(LOOK_INTERVAL):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _say_alive(self) -> None:
        if time.monotonic() >= self._beat_due:
            await self._ask(lambda: self._store.elect(ROLE, self._name, lease=LEASE))
            self._beat_due = time.monotonic() + LEASE / 4

    async def _deliver(self, poster: Poster, delivery: Delivery) -> None:
        try:
            attempt = await self._attempt(poster, delivery)
            await self._settle(delivery, attempt)
        except InferqError as error:
            # What it held is due again when the lease is over.
            log.warning("delivery_not_settled", delivery=delivery.id, reason=str(error))
        except Exception:
            log.exception("delivery_broke", delivery=delivery.id)
        finally:
            self._under_way[delivery.host] -= 1
            self._woken.set()

    async def _attempt(self, poster: Poster, delivery: Delivery) -> Attempt:
        try:
            receiver = parse_receiver(delivery.url, self._settings.webhook_networks)
        except InferqError as error:
            return Attempt(error=str(error), is_final=True)
        body = await self._ask(lambda: self._body(delivery))
        if body is None:
            return Attempt(error="the prediction was purged", is_final=True)
        secrets = await self._ask(lambda: self._secrets(delivery))
        if not secrets:
            return Attempt(error="the webhook was deleted", is_final=True)
        headers = {"Content-Type": EVENT_MEDIA_TYPE}
        headers |= signed_headers(delivery.event_id, int(time.time()), body, secrets)
        return await poster.post(receiver, headers, body)

    def _body(self, delivery: Delivery) -> bytes | None:
        now = self._store.now_of([delivery.job_id]).get(delivery.job_id)
        if now is None or now.result is None:
            return None
        return cloud_event(delivery, now, self._store.store_id)

    def _secrets(self, delivery: Delivery) -> Sequence[str]:
        """Empty when the webhook is gone. Of whoever never asked for the secret there is none yet."""
        if delivery.webhook_id is not None:
            return self._store.signing_secrets(secret_of_webhook(delivery.webhook_id))
        return self._store.make_secret(secret_of_owner(delivery.owner), new_secret())

    async def _settle(self, delivery: Delivery, attempt: Attempt) -> None:
        judgement = judge(attempt, delivery.attempts, self._settings.webhook_schedule, random.random())  # noqa: S311
        settled = Settled(
            delivery,
            status=attempt.status,
            error=attempt.error,
            due_in=judgement.pause if judgement.verdict is Verdict.RETRY else None,
            delivered=judgement.verdict is Verdict.DELIVERED,
        )
        while True:
            try:
                await self._ask(lambda: self._store.settle([settled]))
                break
            except StoreUnavailable:
                await asyncio.sleep(PAUSE)  # it may be tried again for nothing, once the lease is over
                if self._is_stopping:
                    raise
        if judgement.verdict is Verdict.GONE and delivery.webhook_id is not None:
            await self._ask(lambda: self._disable(str(delivery.webhook_id), delivery))
        log.info(
            "delivery",
            delivery=delivery.id,
            job_id=delivery.job_id,
            attempt=delivery.attempts,
            verdict=judgement.verdict.name.lower(),
            status=attempt.status,
            reason=attempt.error,
        )

    def _disable(self, webhook_id: str, delivery: Delivery) -> None:
        self._store.disable_webhook(webhook_id, "the receiver answered with 410")
        fields = {"webhook": webhook_id, "reason": "the receiver answered with 410"}
        self._store.append([LogEntry("warning", "webhook_disabled", fields, model=delivery.model)])

    async def _keep_streaming(self) -> None:
        """What goes to the event stream, beside the others: it must not wait for them, nor they for it."""
        while self._stream.is_wanted and not self._is_stopping:
            published = 0
            try:
                published = await self._ask(self._stream.publish_some)
            except InferqError as error:
                log.warning("event_stream_unavailable", reason=str(error), retry_in_seconds=PAUSE)
            if not published:
                await asyncio.sleep(LOOK_INTERVAL)

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, question)
