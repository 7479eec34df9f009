"""Many HTTP connections that each send the next request when the last was answered; as cheap as Python has it."""

import asyncio
import time

import uvloop


class Connection(asyncio.Protocol):
    """One connection of a crowd: sends `request` again and again until told to stop."""

    def __init__(self, request: bytes, expected: bytes):
        self.answered = 0
        self.going = True
        self.done = asyncio.get_running_loop().create_future()
        self._request = request
        self._expected = b"HTTP/1.1 " + expected
        self._buffer = b""

    def connection_made(self, transport):
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data):
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(self._expected):
            self.done.set_exception(SystemExit(f"the benchmark was answered {(head + body)[:500]!r}"))
            return
        self._buffer = body[length:]
        self.answered += 1
        if self.going:
            self._transport.write(self._request)
        else:
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, error):
        if not self.done.done():
            self.done.set_exception(SystemExit(f"the benchmark lost a connection: {error}"))


def request(port: int, path: str, body: bytes, *headers: str) -> bytes:
    """A POST of JSON."""
    lines = (
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def rate(port: int, sent: bytes, *, connections: int, seconds: float, expected: str) -> float:
    """Answers per second over `seconds`, all of them with the status `expected`."""
    return uvloop.run(_rate(port, sent, connections, seconds, expected.encode()))


async def _rate(port: int, sent: bytes, connections: int, seconds: float, expected: bytes) -> float:
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: Connection(sent, expected), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    started = time.perf_counter()
    await asyncio.wait([connection.done for connection in opened], timeout=seconds, return_when="FIRST_EXCEPTION")
    for connection in opened:
        connection.going = False
    await asyncio.gather(*(connection.done for connection in opened))
    return sum(connection.answered for connection in opened) / (time.perf_counter() - started)
