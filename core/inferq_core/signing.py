"""Signatures of webhooks, as Standard Webhooks has them (specification 1.0.0, https://www.standardwebhooks.com).

Whose secret signs what is told by names: `webhook:ID` for one of a model, `key:ID` for those that a key of the gateway
gave with its predictions, `store` for those that whoever has no key gave.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
# The specification asks for 24 to 64.
SECRET_BYTES = 32
# Seconds for which the secret before the last signs, too: receivers have a day to take the new one.
ROTATION_SECONDS = 86_400.0
STORE_SECRET = "store"  # noqa: S105 - a name


def secret_of_webhook(webhook_id: str) -> str:
    return f"webhook:{webhook_id}"


def secret_of_owner(owner: str | None) -> str:
    """The name of the secret that signs the webhooks of single jobs of that owner."""
    return STORE_SECRET if owner is None else f"key:{owner}"


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(message_id: str, at: int, body: bytes, signing_secrets: Sequence[str]) -> dict[str, str]:
    """The headers of one attempt at `at` (seconds since 1970): a signature by each of the secrets."""
    content = f"{message_id}.{at}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(_signature(content, secret) for secret in signing_secrets),
    }


def _signature(content: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
