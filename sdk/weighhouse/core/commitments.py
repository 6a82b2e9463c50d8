"""Hashes that commit to what a job read and wrote without telling it. Pure.

`keccak256(salt + keccak256(canonical JSON))`, with a salt of 32 random bytes per field. Without the salt nobody can try
out short inputs; with salt and value anybody can check the hash. The buyer alone is given the salts.
"""

import secrets
from typing import Any

from weighhouse.core import canonical
from weighhouse.core.eip712 import keccak256
from weighhouse.core.errors import WeighhouseError

SALT_BYTES = 32
NOTHING = "0x" + "00" * 32


class CommitmentError(WeighhouseError):
    """A salt is not 32 bytes."""

    code = "commitment.invalid"


def salt_make() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


def salted_hash(salt: bytes, value: Any) -> str:
    """The commitment to a JSON value, as `0x` hex. Raises CommitmentError, and JsonError for what has no one form."""
    if len(salt) != SALT_BYTES:
        raise CommitmentError(f"A salt has {SALT_BYTES} bytes; {len(salt)} came.")
    return "0x" + keccak256(salt + plain_hash(value)).hex()


def plain_hash(value: Any) -> bytes:
    """`keccak256` of the canonical JSON of a value that is no secret. Raises JsonError."""
    return keccak256(canonical.dumps(value))


def input_value(inputs: list[Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """What the input hash commits to: the inputs in their final form and every parameter, defaults filled in."""
    return {"inputs": inputs, "parameters": parameters}


def output_value(outputs: list[Any]) -> dict[str, Any]:
    """What the output hash commits to."""
    return {"outputs": outputs}
