"""Inputs and outputs of jobs, encrypted at rest.

They are in no other table, message or log. Fernet (AES-128-CBC, HMAC-SHA256) under `PAYLOAD_KEY`; several keys may be
given, separated by commas: the first encrypts, all decrypt.
"""

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
from cryptography.fernet import InvalidToken

from marketplace.inference.errors import JobPayloadDeletedError
from marketplace.payload_keys import payload_fernet, payload_keys


def payload_encrypt(job_id: UUID | str, value: Any) -> bytes:
    """`value` as JSON, bound to its job, or to whatever else it belongs to, and encrypted."""
    return payload_fernet().encrypt(orjson.dumps({"job": str(job_id), "value": value}))


def payload_decrypt(job_id: UUID | str, token: bytes | memoryview) -> Any:
    """The value again. Raises JobPayloadDeletedError where the key is gone or the row belongs to another job."""
    try:
        content = orjson.loads(payload_fernet().decrypt(bytes(token)))
    except InvalidToken as error:
        raise JobPayloadDeletedError("The payload cannot be read: the key that encrypted it is gone.") from error
    if content["job"] != str(job_id):
        raise JobPayloadDeletedError("The payload belongs to another job.")
    return content["value"]


def request_mac(request: dict[str, Any]) -> str:
    """Recognises the same request again. Keyed, because a plain hash of a short input could be searched."""
    return next(request_macs(request))


def request_macs(request: dict[str, Any]) -> Iterator[str]:
    """The same under each of the keys, the newest first: a request that comes again may have come before a new key."""
    body = orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    for each in payload_keys():
        key = hashlib.sha256(b"request mac:" + each.encode()).digest()
        yield hmac.new(key, body, hashlib.sha256).hexdigest()
