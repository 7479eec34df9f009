"""Where webhooks may go: URLs, and the addresses behind their names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from inferq_core.errors import InvalidInput

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks: TypeAlias = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]

MAX_URL = 2048
_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"[!-~]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})", re.ASCII)
# Prefixes of IPv6 behind which there is an address of IPv4 (RFC 6052); ipaddress knows the other ones.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


# What is allowed where nothing is known of what is.
EVERYWHERE: Networks = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a URL points to."""

    scheme: str  # "http" or "https"
    host: str  # a name, or an address without brackets
    port: int
    target: str  # path and query, as the request line has them

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def place(self) -> str:
        """What deliveries to one receiver are counted by."""
        return f"{self.host.lower().rstrip('.')}:{self.port}"


def parse_networks(text: str) -> Networks:
    """Networks between commas. Raises ValueError that says which is none."""
    return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]


def parse_receiver(url: str, allowed: Networks = ()) -> Receiver:
    """Raises InvalidInput for what no webhook may have as its URL.

    A name is looked up when something is delivered; what can be told before is told here.
    """
    if not isinstance(url, str) or len(url) > MAX_URL or not _URL.fullmatch(url):
        raise _wrong(f"at most {MAX_URL} printable ASCII characters without spaces")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _wrong("a URL") from None
    if parts.scheme not in _PORTS or not host or port == 0:
        raise _wrong("https://host/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _wrong("a URL without user, password and fragment: the signature proves who sends")
    address = address_of(host)
    if address is None and not _NAME.fullmatch(host):
        raise _wrong("the name of a host, or an address")
    if address is not None and not is_allowed(address, allowed):
        raise _wrong("a public address, or one of INFERQ_WEBHOOK_ALLOW")
    if parts.scheme == "http" and not allowed:
        raise _wrong("https; http is for networks of INFERQ_WEBHOOK_ALLOW only")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Receiver(parts.scheme, host, port or _PORTS[parts.scheme], target)


def address_of(host: str) -> Address | None:
    """The address that `host` is; None when it is a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if "%" in host else address


def is_allowed(address: Address, allowed: Networks) -> bool:
    """Whether a webhook may go there: to the public internet, and to what is allowed besides."""
    inner = _behind(address)
    if any(one in network for network in allowed for one in (address, inner) if one.version == network.version):
        return True
    return inner.is_global and not (inner.is_multicast or inner.is_reserved or inner.is_unspecified)


def is_listed(address: Address, allowed: Networks) -> bool:
    """Whether it is allowed by name: only there a webhook may go without TLS."""
    inner = _behind(address)
    return any(inner in network for network in allowed if inner.version == network.version)


def _behind(address: Address) -> Address:
    """The address of IPv4 to which one of IPv6 leads, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _LOCAL_NAT64 or address.is_site_local:
        return ipaddress.IPv6Address("::")
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo and address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or teredo or address


def _wrong(expected: str) -> InvalidInput:
    # Its text stays out of the message: a URL may hold a secret.
    return InvalidInput(f"webhook.url: expected {expected}", expected=expected)
