"""Looking names up, so that a name whose server is silent keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from inferq_core.receivers import Address, address_of

# Names that are looked up side by side: the system's resolver blocks a thread for each, for seconds.
THREADS = 32


class Names:
    """One for each event loop. Whoever asks for a name that is being looked up waits for the same answer."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="inferq-lookup")
        self._under_way: dict[tuple[str, int], asyncio.Future[Sequence[Address]]] = {}

    def __call__(self, host: str, port: int) -> asyncio.Future[Sequence[Address]]:
        """The addresses, now: nothing is remembered. The future raises OSError."""
        key = host, port
        if key not in self._under_way:
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host, port)
            self._under_way[key] = lookup
            lookup.add_done_callback(partial(self._forget, key))
        return asyncio.shield(self._under_way[key])

    def _forget(self, key: tuple[str, int], lookup: asyncio.Future[Sequence[Address]]) -> None:
        self._under_way.pop(key, None)
        if not lookup.cancelled():
            lookup.exception()  # nobody may be left who asks for it

    def close(self) -> None:
        """Without waiting for those under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int) -> Sequence[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [address_of(str(place[0])) for _, _, _, _, place in found]
    return [address for address in dict.fromkeys(addresses) if address is not None]
