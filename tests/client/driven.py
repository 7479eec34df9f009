"""An asynchronous client behind the synchronous verbs, so that one test body serves both."""

import asyncio
import inspect
import threading

from inferq.aio import AsyncJob

# Seconds after which a verb that does not come back fails the test.
PATIENCE = 120


class Driven:
    """Whatever is asked of it is asked of `target`, in an event loop of its own thread."""

    def __init__(self, target, loop):
        self._target = target
        self._loop = loop

    def __getattr__(self, name):
        value = getattr(self._target, name)
        if not callable(value):
            return value
        return lambda *args, **options: self._driven(value(*map(bare, args), **options))

    def __eq__(self, other):
        return self._target == bare(other)

    def __hash__(self):
        return hash(self._target)

    def _driven(self, value):
        if inspect.isawaitable(value):
            return self._driven(self._run(value))
        if inspect.isasyncgen(value):
            return self._items(value)
        if isinstance(value, AsyncJob):
            return Driven(value, self._loop)
        return [self._driven(item) for item in value] if isinstance(value, list) else value

    def _items(self, generator):
        try:
            while True:
                yield self._driven(self._run(anext(generator)))
        except StopAsyncIteration:
            pass
        finally:
            self._run(generator.aclose())

    def _run(self, awaitable):
        async def await_it():
            return await awaitable

        return asyncio.run_coroutine_threadsafe(await_it(), self._loop).result(PATIENCE)


class DrivenClient(Driven):
    """With a loop that runs until it is closed."""

    def __init__(self, client):
        super().__init__(client, asyncio.new_event_loop())
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def close(self):
        self._run(self._target.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


def bare(value):
    if isinstance(value, Driven):
        return value._target
    return [bare(item) for item in value] if isinstance(value, list | tuple) else value
