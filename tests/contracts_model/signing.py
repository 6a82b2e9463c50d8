"""What holders and buyers sign, spelled out as EIP-712 documents: independent of the library that the site uses."""

from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data

_DOMAIN = [("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")]
_TYPES = {
    "Cancel": "uint256 licenceId,address to,uint256 deadline",
    "Deliver": "uint256 licenceId,bytes32 recipientKey,uint256 deadline",
    "Permit": "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline",
    "ReceiveWithAuthorization": (
        "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
    ),
}


def typed(
    kind: str, message: dict[str, Any], *, chain_id: int, contract: str, name: str = "Weighhouse"
) -> dict[str, Any]:
    """The document, as `eth_signTypedData_v4` takes it."""
    fields = [part.split(" ") for part in _TYPES[kind].split(",")]
    return {
        "types": {
            "EIP712Domain": [{"name": field, "type": type_} for field, type_ in _DOMAIN],
            kind: [{"name": field, "type": type_} for type_, field in fields],
        },
        "primaryType": kind,
        "domain": {"name": name, "version": "1", "chainId": chain_id, "verifyingContract": contract},
        "message": message,
    }


def sign(document: dict[str, Any], key: str) -> tuple[int, bytes, bytes]:
    """v, r and s."""
    signed = Account.sign_message(encode_typed_data(full_message=document), key)
    return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def joined(signature: tuple[int, bytes, bytes]) -> bytes:
    """The same as 65 bytes."""
    v, r, s = signature
    return r + s + bytes([v])
