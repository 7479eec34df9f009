"""One POST to a receiver nobody knows: to an address that was checked, in bounded time, and no further.

Written on asyncio's streams because of what must not happen: a connection to another address than the one that was
checked, a redirect that is followed, a drop of bytes now and then that keeps it open for ever.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime

from inferq_core.policy.delivery import Attempt
from inferq_core.receivers import Address, Networks, Receiver, address_of, is_allowed, is_listed

# Seconds that a connection may take, TLS included.
CONNECT_TIMEOUT = 5.0
# Bytes that the head of an answer may have. Its body is not read: what counts is the status.
MAX_HEAD = 16 * 1024
# Answers before the answer (RFC 9110, 15.2) that are passed over.
MAX_INTERIM = 5
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: |$)")
_INTERIM = range(100, 200)
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)

Lookup = Callable[[str, int], "asyncio.Future[Sequence[Address]]"]


class Refused(Exception):
    """It must not go there, now or later."""


class Poster:
    """`allowed`: networks besides the internet; `lookup` finds the addresses of a name."""

    def __init__(self, lookup: Lookup, *, allowed: Networks, timeout: float) -> None:
        self._lookup = lookup
        self._allowed = allowed
        self._timeout = timeout
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])

    async def post(self, receiver: Receiver, headers: Mapping[str, str], body: bytes) -> Attempt:
        """What came of it. Raises nothing that a receiver could bring about."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(receiver, headers, body)
        except Refused as error:
            return Attempt(error=str(error), is_final=True)
        except TimeoutError:
            return Attempt(error=f"no answer within {self._timeout:g} s")
        except (OSError, ssl.SSLError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            return Attempt(error=_described(error))

    async def _post(self, receiver: Receiver, headers: Mapping[str, str], body: bytes) -> Attempt:
        reader, writer = await self._connect(receiver)
        try:
            writer.write(_head(receiver, headers, len(body)) + body)
            # A receiver may answer before it has read all, and close.
            sending = asyncio.ensure_future(writer.drain())
            try:
                status, found = await _answer(reader)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        finally:
            writer.transport.abort()
        if status in range(200, 300):
            return Attempt(status)
        return Attempt(status, f"it answered with {status}", _retry_after(found.get("retry-after")))

    async def _connect(self, receiver: Receiver) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the first of its addresses that may be asked and takes it. Raises Refused, OSError, TimeoutError."""
        literal = address_of(receiver.host)
        addresses = [literal] if literal else await self._lookup(receiver.host, receiver.port)
        good = [address for address in addresses if self._may_go(receiver, address)]
        if not good:
            raise Refused("its address is none that webhooks may go to (INFERQ_WEBHOOK_ALLOW)")
        trouble: OSError = OSError("it has no address")
        for address in good:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    return await self._open(receiver, address)
            except TimeoutError:
                trouble = TimeoutError(f"no connection within {CONNECT_TIMEOUT:g} s")
            except OSError as error:
                trouble = error
        raise OSError(_described(trouble))

    async def _open(self, receiver: Receiver, address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To that address and no other; with TLS, it must prove to be the host of the URL."""
        if receiver.scheme == "http":
            return await asyncio.open_connection(str(address), receiver.port, limit=MAX_HEAD)
        return await asyncio.open_connection(
            str(address), receiver.port, limit=MAX_HEAD, ssl=self._tls, server_hostname=receiver.host
        )

    def _may_go(self, receiver: Receiver, address: Address) -> bool:
        if receiver.scheme == "http":  # in plain text to networks that an operator named
            return is_listed(address, self._allowed)
        return is_allowed(address, self._allowed)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers. Raises ValueError for what is not HTTP."""
    for _ in range(MAX_INTERIM):
        head = await reader.readuntil(b"\r\n\r\n")
        line, *rest = head.split(b"\r\n")
        found = _STATUS.match(line)
        if found is None:
            raise ValueError("its answer is not HTTP/1.1")
        status = int(found[1])
        if status not in _INTERIM:
            headers = (one.decode("latin-1").partition(":") for one in rest)
            return status, {name.strip().lower(): value.strip() for name, _, value in headers}
    raise ValueError("its answer does not come to an end")


def _head(receiver: Receiver, headers: Mapping[str, str], length: int) -> bytes:
    lines = [
        f"POST {receiver.target} HTTP/1.1",
        f"Host: {receiver.authority}",
        "User-Agent: inferq",
        "Accept: */*",
        "Connection: close",
        f"Content-Length: {length}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _retry_after(value: str | None) -> float | None:
    """Seconds (RFC 9110, 10.2.3); None when it is missing or cannot be read."""
    if value is None:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _described(error: BaseException) -> str:
    """In few words, of which a receiver chooses none."""
    if isinstance(error, asyncio.IncompleteReadError):
        return "it closed the connection without an answer"
    if isinstance(error, asyncio.LimitOverrunError):
        return f"its answer has more than {MAX_HEAD} bytes of headers"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
