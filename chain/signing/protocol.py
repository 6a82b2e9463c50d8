"""What the site asks of whatever holds its key."""

from dataclasses import dataclass
from typing import Any, Protocol

from weighhouse.core.eip712 import TypedData


@dataclass(frozen=True, slots=True)
class TransactionFields:
    """All that is signed of an EIP-1559 transaction. Fees are in wei per gas, `data` is `0x` hex."""

    chain_id: int
    nonce: int
    to: str
    value_wei: int
    data: str
    gas: int
    max_fee_wei: int
    tip_wei: int

    def json(self) -> dict[str, Any]:
        """The parameter of `eth_signTransaction`, without `from`."""
        return {
            "type": "0x2",
            "chainId": hex(self.chain_id),
            "nonce": hex(self.nonce),
            "to": self.to,
            "value": hex(self.value_wei),
            "data": self.data,
            "gas": hex(self.gas),
            "maxFeePerGas": hex(self.max_fee_wei),
            "maxPriorityFeePerGas": hex(self.tip_wei),
        }


class Signer(Protocol):
    """One account that signs. Safe to share between threads; nothing has to be closed.

    A signer decides nothing about nonces and fees, and sends nothing. Its key or address of service appears in no log,
    no error and no `repr`.
    """

    @property
    def address(self) -> str:
        """The account, checksummed. Asks nobody."""
        ...

    def sign_transaction(self, fields: TransactionFields) -> str:
        """The signed transaction, `0x` hex, that says exactly `fields` and is signed by `address`.

        Raises `SignerUnavailable` (try again), `SignerRefused` and `SignatureDiffers`.
        """
        ...

    def sign_typed_data(self, typed: TypedData) -> str:
        """The signature of `address` over an EIP-712 statement: 65 bytes as `0x` hex, v 27 or 28, the lower s.

        Raises as `sign_transaction`.
        """
        ...
