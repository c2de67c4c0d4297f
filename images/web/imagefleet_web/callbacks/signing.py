"""Signatures as https://www.standardwebhooks.com has them, so that receivers find libraries."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable
from hashlib import sha256


def headers(message: str, sent_at: float, body: bytes, secrets: Iterable[bytes]) -> dict[str, str]:
    """Return the headers that sign a body, once with each secret.

    Args:
        message: what tells it from all others, and is the same each time it is sent.
        sent_at: seconds since 1970.
    """
    timestamp = str(int(sent_at))
    signed = b".".join([message.encode(), timestamp.encode(), body])
    return {
        "webhook-id": message,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_sign(signed, secret)}" for secret in secrets),
    }


def _sign(signed: bytes, secret: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, signed, sha256)).decode()
