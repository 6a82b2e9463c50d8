"""Secrets of endpoints, and the signatures made with them.

Standard Webhooks 1.0 (https://www.standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`, `v1,` before each
signature, several separated by spaces while a secret is being replaced.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken

from marketplace.payload_keys import payload_fernet, payload_keys

PREFIX = "whsec_"
SECRET_BYTES = 32


def secret_make() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def secret_seal(secret: str) -> bytes:
    """The secret as the database keeps it."""
    return payload_fernet().encrypt(secret.encode())


def secret_open(token: bytes | memoryview) -> str | None:
    """The secret again; `None` where the key that sealed it is gone."""
    try:
        return payload_fernet().decrypt(bytes(token)).decode()
    except InvalidToken:
        return None


def secret_reseal(token: bytes | memoryview) -> bytes | None:
    """The secret sealed with the first key; `None` where it is already, or where no key opens it."""
    try:
        Fernet(payload_keys()[0]).decrypt(bytes(token))
    except InvalidToken:
        secret = secret_open(token)
        return None if secret is None else secret_seal(secret)
    return None


def headers_signed(*, event_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of a delivery: id, time and one signature per secret, of which there is one at least."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return {
        "Content-Type": "application/json",
        "User-Agent": "Weighhouse-Webhooks/1",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
