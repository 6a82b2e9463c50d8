"""What is signed off chain with an Ethereum key: requests to the market, and payments in tokens. Pure.

Typed data as EIP-712 describes them, for the types that are used here: every member fills one 32-byte word. Amounts are
in a token's smallest unit, times in unix seconds of block time.
Sources: https://eips.ethereum.org/EIPS/eip-712, EIP-2612 (permit), EIP-3009 (receiveWithAuthorization).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.Hash import keccak

from weighhouse.core.errors import WeighhouseError

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_WORD = re.compile(r"0x[0-9a-fA-F]{64}")
_DOMAIN_TYPE = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))
# The operation that the nonce of an authorized purchase begins with.
_BUY = "Weighhouse.buy"

Members = tuple[tuple[str, str], ...]
Message = Mapping[str, int | str]

CANCEL: Members = (("licenceId", "uint256"), ("to", "address"), ("deadline", "uint256"))
DELIVER: Members = (("licenceId", "uint256"), ("recipientKey", "bytes32"), ("deadline", "uint256"))
PERMIT: Members = (
    ("owner", "address"),
    ("spender", "address"),
    ("value", "uint256"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
)
RECEIVE: Members = (
    ("from", "address"),
    ("to", "address"),
    ("value", "uint256"),
    ("validAfter", "uint256"),
    ("validBefore", "uint256"),
    ("nonce", "bytes32"),
)


class TypedDataError(WeighhouseError):
    """A value does not fit its type."""

    code = "typed_data.invalid"


@dataclass(frozen=True, slots=True)
class Domain:
    """Which contract on which chain a signature is for."""

    name: str
    version: str
    chain_id: int
    verifying_contract: str

    def values(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "chainId": self.chain_id,
            "verifyingContract": self.verifying_contract,
        }

    def separator(self) -> bytes:
        """EIP-712's `domainSeparator`, which contracts show as DOMAIN_SEPARATOR."""
        return _struct_hash("EIP712Domain", _DOMAIN_TYPE, self.values())


@dataclass(frozen=True, slots=True)
class TypedData:
    """One statement to sign. `message` has a value for every member: `int`, or `0x` hex for addresses and words."""

    domain: Domain
    primary_type: str
    members: Members
    message: Message

    def digest(self) -> bytes:
        """The 32 bytes that are signed. Raises `TypedDataError`."""
        struct = _struct_hash(self.primary_type, self.members, self.message)
        return keccak256(b"\x19\x01" + self.domain.separator() + struct)

    def json(self) -> dict[str, Any]:
        """The parameter of `eth_signTypedData_v4`, integers as decimal strings. Raises `TypedDataError`."""
        for name, kind in self.members:
            _word(kind, self.message[name])
        return {
            "types": {
                "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN_TYPE],
                self.primary_type: [{"name": name, "type": kind} for name, kind in self.members],
            },
            "primaryType": self.primary_type,
            "domain": {**self.domain.values(), "chainId": str(self.domain.chain_id)},
            "message": {name: str(self.message[name]) for name, _ in self.members},
        }


def market_domain(chain_id: int, market: str) -> Domain:
    """The domain of requests to the market at the address `market`."""
    return Domain("Weighhouse", "1", chain_id, market)


def cancel_request(domain: Domain, *, licence_id: int, to: str, deadline: int) -> TypedData:
    """The holder asks to end a licence and to have what has not vested paid to `to`: for `cancelBySig`."""
    return TypedData(domain, "Cancel", CANCEL, {"licenceId": licence_id, "to": to, "deadline": deadline})


def deliver_request(domain: Domain, *, licence_id: int, recipient_key: str, deadline: int) -> TypedData:
    """The holder asks for the release key, wrapped to the X25519 key `recipient_key`: for `deliver`, once."""
    message: Message = {"licenceId": licence_id, "recipientKey": recipient_key, "deadline": deadline}
    return TypedData(domain, "Deliver", DELIVER, message)


def permit(domain: Domain, *, owner: str, spender: str, value_units: int, nonce: int, deadline: int) -> TypedData:
    """EIP-2612: `owner` lets `spender` take `value_units` of the token whose domain this is."""
    message: Message = {"owner": owner, "spender": spender, "value": value_units, "nonce": nonce, "deadline": deadline}
    return TypedData(domain, "Permit", PERMIT, message)


def receive_authorization(
    domain: Domain, *, payer: str, payee: str, value_units: int, valid_after: int, valid_before: int, nonce: str
) -> TypedData:
    """EIP-3009: `payee`, and nobody else, may take `value_units` of the token once, between two times (exclusive).

    For a purchase the payee is the market and the nonce is `authorization_nonce`.
    """
    message: Message = {
        "from": payer,
        "to": payee,
        "value": value_units,
        "validAfter": valid_after,
        "validBefore": valid_before,
        "nonce": nonce,
    }
    return TypedData(domain, "ReceiveWithAuthorization", RECEIVE, message)


def authorization_nonce(
    domain: Domain, *, plan_id: int, plan_hash: str, recipient: str, price_units: int, salt: str
) -> str:
    """The nonce that binds an authorization to one purchase at the market of `domain`, as `0x` hex.

    `salt` is any word that the payer did not use before with the same purchase.
    """
    words = (
        ("uint256", domain.chain_id),
        ("address", domain.verifying_contract),
        ("uint256", plan_id),
        ("bytes32", plan_hash),
        ("address", recipient),
        ("uint256", price_units),
        ("bytes32", salt),
    )
    encoded = keccak256(_BUY.encode()) + b"".join(_word(kind, value) for kind, value in words)
    return "0x" + keccak256(encoded).hex()


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def _struct_hash(name: str, members: Members, values: Mapping[str, Any]) -> bytes:
    type_text = f"{name}({','.join(f'{kind} {member}' for member, kind in members)})"
    encoded = b"".join(_word(kind, values[member]) for member, kind in members)
    return keccak256(keccak256(type_text.encode()) + encoded)


def _word(kind: str, value: Any) -> bytes:
    if kind == "string":
        return keccak256(str(value).encode())
    if kind == "uint256" and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**256:
        return value.to_bytes(32)
    if kind == "address" and isinstance(value, str) and _ADDRESS.fullmatch(value):
        return bytes(12) + bytes.fromhex(value[2:])
    if kind == "bytes32" and isinstance(value, str) and _WORD.fullmatch(value):
        return bytes.fromhex(value[2:])
    raise TypedDataError(f"Expected a value of type {kind}, got {str(value)[:100]!r}.")
