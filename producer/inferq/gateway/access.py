"""Who asks, and what that one may: keys, scopes, models, own predictions."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

from starlette.requests import Request

from inferq.gateway.limits import Limits
from inferq.gateway.problems import Fault, Kind, Problem
from inferq_core.errors import UnknownModel
from inferq_core.keys import covers, id_in, is_valid
from inferq_core.store.contract import Store
from inferq_core.store.records import JobView, KeyRecord, KeyScope
from inferq_core.store.upload_records import Upload

# Seconds for which what is known of a key is believed: as long, a revoked one goes on.
FRESH_SECONDS = 2.0
# Keys that are remembered.
MAX_KNOWN = 1_000

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `key_id` is None for whoever sits at the gateway's machine while there are no keys."""

    key_id: str | None
    scopes: frozenset[KeyScope]
    models: tuple[str, ...] | None

    def has(self, scope: KeyScope) -> bool:
        return scope in self.scopes or KeyScope.ADMIN in self.scopes

    def require(self, scope: KeyScope) -> None:
        """Raises Problem."""
        if not self.has(scope):
            raise Problem(Kind.FORBIDDEN, f"the key lacks the scope {scope.value!r}: use one that has it")

    def require_key(self, scope: KeyScope) -> None:
        """Raises Problem. Where it is not enough to sit at this machine."""
        if self.key_id is None:
            detail = f"this takes a key with the scope {scope.value!r}, and there are no keys yet (inferq keys create)"
            raise Problem(Kind.FORBIDDEN, detail)
        self.require(scope)

    def may_ask(self, model: str) -> bool:
        return covers(self.models, model)

    def require_model(self, model: str) -> str:
        """The name. Raises UnknownModel: what a key may not ask is not there for it."""
        if not self.may_ask(model):
            raise UnknownModel(f"no model is called {model!r} for this key")
        return model

    def owns(self, job: JobView | Upload) -> bool:
        return self.key_id is None or job.owner == self.key_id

    def sees(self, job: JobView | Upload) -> bool:
        return self.may_ask(job.model) and (self.owns(job) or self.has(KeyScope.READ))

    def own_key(self, key: str | None) -> str | None:
        """An idempotency key as it is stored: what others call theirs does not meet it."""
        return key if key is None or self.key_id is None else f"{self.key_id}:{key}"

    @property
    def own_only(self) -> str | None:
        """The owner of all that it sees; None when it sees more."""
        return None if self.has(KeyScope.READ) else self.key_id


LOCAL = Caller(None, frozenset(KeyScope), None)


class Ask(Protocol):
    """Asks the store in a thread."""

    def __call__(self, question: Callable[[Store], Answer], /) -> Awaitable[Answer]: ...


class Keys:
    """The keys as they were a moment ago. `keyless`: while none was ever made, this machine needs none."""

    def __init__(self, ask: Ask, limits: Limits, *, keyless: bool) -> None:
        self._ask = ask
        self._limits = limits
        self._keyless = keyless
        self._looked_at = float("-inf")
        self._known: dict[str, tuple[float, KeyRecord | None]] = {}

    async def caller(self, request: Request) -> Caller:
        """Who asks. Raises Problem: 401 without a good key, 421 for another host where none is needed, 429."""
        given = request.headers.get("authorization")
        if given is None and await self._is_open():
            _require_local(request)
            return LOCAL
        kind, _, text = (given or "").partition(" ")
        key_id = id_in(text.strip()) if kind.lower() == "bearer" else None
        record = None if key_id is None else await self._record(key_id)
        if record is None or not is_valid(record, text.strip()):
            raise Problem(
                Kind.UNAUTHORIZED,
                "send a key that is good: `Authorization: Bearer inferq_…` (`inferq keys create` makes one)",
                headers={"WWW-Authenticate": 'Bearer realm="inferq"'},
            )
        request.state.key_id = record.id
        await self._limits.charge(request, record)
        return Caller(record.id, record.scopes, record.models)

    async def _is_open(self) -> bool:
        """Whether no key is needed. Once there was one, it stays so that one is."""
        if self._keyless and time.monotonic() - self._looked_at >= FRESH_SECONDS:
            self._keyless = not await self._ask(lambda store: store.has_keys())
            self._looked_at = time.monotonic()
        return self._keyless

    async def _record(self, key_id: str) -> KeyRecord | None:
        known = self._known.get(key_id)
        if known is not None and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        record = await self._ask(lambda store: store.key(key_id))
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[key_id] = time.monotonic(), record
        return record


def _require_local(request: Request) -> None:
    """Raises Problem when the Host is not this machine.

    A page whose name was made to resolve to 127.0.0.1 (DNS rebinding) could otherwise ask anything.
    """
    host = request.headers.get("host", "")
    if not is_local(host):
        expected = "localhost or an address of this machine's loopback"
        detail = f"Host: expected {expected} (the gateway runs without keys), got {host[:80]!r}"
        raise Problem(
            Kind.WRONG_HOST, detail, [Fault(detail, parameter="Host", expected=expected, got=host[:80] or "none")]
        )


@lru_cache(maxsize=64)
def is_local(host: str) -> bool:
    """Whether a Host header names this machine itself."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
