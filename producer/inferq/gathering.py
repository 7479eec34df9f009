"""What coroutines ask for while a call is under way goes together in the next one. No timer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Gathering(Generic[Item, Answer]):
    """Turns single items from many coroutines of one event loop into groups for `serve`.

    `serve(items)` answers with one value per item, in order, or with the exception that is that item's own; what it
    raises is everyone's. It is never called twice at the same time.
    """

    def __init__(
        self, serve: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]], *, max_items: int
    ) -> None:
        self._serve = serve
        self._max_items = max_items
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def call(self, item: Item) -> Answer:
        """The answer for `item`. Cancelled before its group leaves, the item goes nowhere."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._serving is None:
            # In a context of its own: the group is not the first caller's alone.
            self._serving = asyncio.create_task(self._serve_all(), context=Context())
        return await future

    async def _serve_all(self) -> None:
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(self._max_items, len(self._waiting)))]
                group = [(item, future) for item, future in taken if not future.done()]
                if group:
                    await self._serve_group(group)
        finally:
            self._serving = None

    async def _serve_group(self, group: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._serve([item for item, _ in group])
        except asyncio.CancelledError:  # the loop is being torn down
            for _, future in [*group, *self._waiting]:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001  # handed to every caller, who raises it
            answers = [error] * len(group)
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
