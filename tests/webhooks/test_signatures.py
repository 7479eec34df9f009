"""Signatures against the public verifier of Standard Webhooks."""

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from inferq_core.signing import new_secret, signed_headers

BODY = '{"id": "1", "text": "grüße"}'.encode()


def test_each_secret_of_a_rotation_verifies_and_no_other():
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = signed_headers("an-id", int(time.time()), BODY, [new, old])
    for secret in (old, new):
        assert Webhook(secret).verify(BODY, headers)["text"] == "grüße"
    for secret, body, changed in (
        (other, BODY, headers),
        (new, BODY + b" ", headers),
        (new, BODY, headers | {"webhook-id": "another"}),
        (new, BODY, headers | {"webhook-timestamp": str(int(time.time()) + 1)}),
        (new, BODY, signed_headers("an-id", int(time.time()) - 3600, BODY, [new])),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, changed)


def test_secrets_are_of_the_length_that_the_specification_asks_for():
    secrets = {new_secret() for _ in range(20)}
    assert len(secrets) == 20
    assert all(24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64 for secret in secrets)
