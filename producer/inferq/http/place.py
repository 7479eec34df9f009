"""Where the gateway is and what to send with every request."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

import httpx

from inferq.http.exchange import Call, Lost
from inferq_core.errors import SettingsError

URL_VARIABLE = "INFERQ_GATEWAY_URL"
KEY_VARIABLE = "INFERQ_GATEWAY_KEY"
LOCAL = "http://127.0.0.1:8000"
# Seconds to connect, of the `timeout` for the whole.
CONNECT_SECONDS = 5.0
# Connections at once; more requests wait for one.
MAX_CONNECTIONS = 100
_KEY = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway's address, the key for it, and the seconds that it has to answer (beside what it was let wait)."""

    url: str
    key: str | None = field(repr=False)
    timeout: float

    @classmethod
    def of(cls, url: str | None, key: str | None, timeout: float) -> Place:
        """What is not given comes from the environment. Raises SettingsError, never with the key in it."""
        url = (url or os.environ.get(URL_VARIABLE) or LOCAL).rstrip("/")
        key = (key or os.environ.get(KEY_VARIABLE) or "").strip() or None
        if "@" in url:
            raise SettingsError(f"the gateway's address is no place for a password: give key=, or set {KEY_VARIABLE}")
        if not _is_address(url):
            raise SettingsError(f"{url!r} is no address of a gateway: give http(s)://host:port")
        if key is not None and not _KEY.fullmatch(key):
            raise SettingsError(f"the gateway's key has characters that no key has: see key=, or {KEY_VARIABLE}")
        if not timeout > 0:
            raise SettingsError(f"timeout={timeout!r}: give seconds above 0")
        return cls(url, key, timeout)

    @property
    def headers(self) -> dict[str, str]:
        accepted = {"Accept": "application/json", "User-Agent": "inferq-http"}
        return accepted if self.key is None else accepted | {"Authorization": f"Bearer {self.key}"}

    @property
    def limits(self) -> httpx.Limits:
        return httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)

    def timeout_of(self, call: Call) -> httpx.Timeout:
        connect = min(CONNECT_SECONDS, self.timeout)
        return httpx.Timeout(self.timeout + call.wait, connect=connect, pool=None)

    def lost(self, error: httpx.HTTPError) -> Lost:
        """No answer came, and why."""
        return Lost(f"the gateway at {self.url} does not answer ({type(error).__name__}: {error})")


def _is_address(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host) and not parsed.query and not parsed.fragment
