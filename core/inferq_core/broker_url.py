"""The broker's URL: which ones are taken, and what each client library is to be told of it.

kombu, redis-py and py-amqp read the same URL differently, and each overlooks what it does not know. So whatever they
would not all understand is refused, and TLS is spelled out for each of them: kombu left alone speaks plaintext, or does
not verify.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from inferq_core.errors import SettingsError
from inferq_core.settings import redact

SCHEMES = ("redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "pyamqp")
SENTINEL_PORT = 26379
# What the query of a URL may say, by scheme, and the values where only some mean something. The names are redis-py's.
_TLS: dict[str, tuple[str, ...] | None] = {
    "ssl_ca_certs": None,  # file with the authorities to trust instead of the system's
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
}
_OPTIONS: dict[str, dict[str, tuple[str, ...] | None]] = {
    "rediss": _TLS,
    "amqps": _TLS,
    "redis+socket": {"virtual_host": None},
    # The name that the sentinels know the group by, and how they are signed in to, if at all.
    "sentinel": {"master_name": None, "sentinel_username": None, "sentinel_password": None},
}
_VERIFY = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Where to ask for the primary of a group of Redis servers, and how to sign in there."""

    hosts: Sequence[tuple[str, int]]
    master_name: str
    database: int
    username: str | None
    password: str | None = field(repr=False)
    sentinel_username: str | None
    sentinel_password: str | None = field(repr=False)


def is_redis(url: str) -> bool:
    """By any of its schemes: by address, by socket, or through sentinels."""
    return url.startswith(("redis", "sentinel://"))


def is_sentinel(url: str) -> bool:
    return url.startswith("sentinel://")


def sentinels_of(url: str) -> Sentinels:
    """What a URL like `sentinel://user:password@host:26379,host:26379/0?master_name=NAME` says."""
    parts, options = _parts(url), _options(url)
    credentials, _, _ = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    return Sentinels(
        hosts=_sentinel_hosts(url),
        master_name=options["master_name"],
        database=int(parts.path.strip("/") or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
    )


def _sentinel_hosts(url: str) -> list[tuple[str, int]]:
    """Raises ValueError for a port that is none."""
    _, _, places = _parts(url).netloc.rpartition("@")
    each = [urlsplit(f"//{place}") for place in places.split(",")]
    return [(place.hostname or "", place.port or SENTINEL_PORT) for place in each]


def is_socket(url: str) -> bool:
    return url.startswith("redis+socket://")


def check_url(url: str) -> str:
    """`url` itself. Raises SettingsError for a broker that inferq does not speak to, and for what it would overlook."""
    problem = _problem(url)
    if problem is not None:
        raise SettingsError(f"INFERQ_BROKER_URL={redact(url)}: {problem}")
    return url


def kombu_url(url: str) -> str:
    """The URL as our transports take it: without what they are told apart from it."""
    if is_socket(url):
        return url.removeprefix("redis+")
    if is_sentinel(url):  # one URL each, and their credentials those of the servers
        parts = _parts(url)
        credentials, at, places = parts.netloc.rpartition("@")
        return ";".join(f"sentinel://{credentials}{at}{place}{parts.path}" for place in places.split(","))
    return url.partition("?")[0]


def redis_url(url: str) -> str:
    """The URL as redis-py takes it: sockets have another scheme there, and the database another name."""
    if not is_socket(url):
        return url
    path, _, query = url.removeprefix("redis+socket://").partition("?")
    options = [("db" if name == "virtual_host" else name, value) for name, value in parse_qsl(query)]
    return f"unix://{path}{'?' + urlencode(options) if options else ''}"


def tls_options(url: str) -> dict[str, Any] | None:
    """How kombu's transports speak TLS; None: not at all. They verify, unless the URL says otherwise."""
    scheme, options = _parts(url).scheme, _options(url)
    if scheme not in ("rediss", "amqps"):
        return None
    verify = options.get("ssl_cert_reqs", "required")
    check_name = options.get("ssl_check_hostname", "true") == "true" and verify != "none"
    if scheme == "rediss":
        return {**options, "ssl_cert_reqs": verify, "ssl_check_hostname": check_name}
    files = {"ca_certs": "ssl_ca_certs", "certfile": "ssl_certfile", "keyfile": "ssl_keyfile"}
    return {
        **{name: options[option] for name, option in files.items() if option in options},
        "cert_reqs": _VERIFY[verify],
        # py-amqp checks the name that it is given, and none otherwise.
        **({"server_hostname": _parts(url).hostname} if check_name else {}),
    }


def _parts(url: str) -> SplitResult:
    scheme, _, rest = url.partition("://")
    return urlsplit(f"//{rest}", scheme=scheme, allow_fragments=False)


def _options(url: str) -> dict[str, str]:
    return dict(parse_qsl(_parts(url).query, keep_blank_values=True))


def _problem(url: str) -> str | None:
    """What is wrong with it and what to do, if anything."""
    scheme = url.partition("://")[0]
    if scheme.endswith("+cluster"):
        return "a Redis Cluster cannot hold one queue's lists for a single blocking command: name a server of its own"
    if scheme not in SCHEMES:
        return f"{scheme!r} is none of {', '.join(SCHEMES)}"
    if ";" in url:
        return "several brokers are not supported: name one address (in a password, write ; as %3B)"
    return _place_problem(url, scheme) or _option_problem(url, scheme)


def _place_problem(url: str, scheme: str) -> str | None:
    parts = _parts(url)
    encoded = "a password's special characters must be percent-encoded (/ as %2F, ? as %3F, # as %23, @ as %40)"
    if "#" in url or "@" in parts.query:
        return encoded
    try:
        hosts = _sentinel_hosts(url) if is_sentinel(url) else [(parts.hostname or "", parts.port)]
    except ValueError:
        return f"the port is no number; {encoded}"
    if is_socket(url):
        if not parts.path.strip("/"):
            return "name the socket's file: redis+socket:///path/to/broker.sock"
        database = _options(url).get("virtual_host", "")
    else:
        if not all(host for host, _ in hosts):
            return f"name the host: {scheme}://host"
        database = unquote(parts.path).removeprefix("/") if is_redis(url) else ""
    if database and not (database.isascii() and database.isdigit()):
        return f"the database {database!r} is no number"
    return None


def _option_problem(url: str, scheme: str) -> str | None:
    known = _OPTIONS.get(scheme, {})
    if is_sentinel(url) and "master_name" not in _options(url):
        return "name the group that the sentinels watch: sentinel://host:26379,host:26379/0?master_name=NAME"
    for name, value in _options(url).items():
        if name not in known:
            return f"{name!r} is no option of {scheme}:// ({', '.join(known) or 'it has none'})"
        values = known[name]
        if values is not None and value not in values:
            return f"{name} is one of {', '.join(values)}"
        if not value:
            return f"{name} is empty"
    return None
