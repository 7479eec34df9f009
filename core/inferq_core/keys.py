"""Keys of the HTTP gateway: how they look, and how one is told from another.

A key is `inferq_ID_SECRET`. The store has the SHA-256 of the whole: the secret has 256 random bits, so no slow hash
is needed, and whoever reads the store has no key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from fnmatch import fnmatchcase

from inferq_core.store.records import KeyRecord

_KEY = re.compile(r"inferq_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
# What a presented key is compared with when there is none: the answer takes as long.
_NOBODY = "0" * 64


def new_key() -> tuple[str, str]:
    """The id and the whole text of a new key."""
    key_id = secrets.token_hex(6)
    return key_id, f"inferq_{key_id}_{secrets.token_urlsafe(32)}"


def id_in(text: str) -> str | None:
    """The id in a key's text; None when it is no key at all."""
    found = _KEY.fullmatch(text)
    return None if found is None else found[1]


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def is_valid(record: KeyRecord | None, text: str) -> bool:
    """Whether `text` is that key, and it was not revoked. Takes the same time for whatever is wrong."""
    same = hmac.compare_digest(digest_of(text), _NOBODY if record is None else record.digest)
    return same and record is not None and record.revoked_at is None


def covers(patterns: tuple[str, ...] | None, model: str) -> bool:
    """Whether a key with these patterns (`*` and `?` as in file names; None: all) may ask the model."""
    return patterns is None or any(fnmatchcase(model, pattern) for pattern in patterns)
