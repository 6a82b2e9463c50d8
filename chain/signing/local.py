"""A key in this process's memory."""

from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32
from weighhouse.core.eip712 import TypedData

from chain.errors import EncodingError
from chain.signing.protocol import TransactionFields


class LocalSigner:
    """`Signer` with a private key from the settings: 32 bytes, written as hex. Raises `EncodingError` for another."""

    def __init__(self, key: str) -> None:
        try:
            self._account: LocalAccount = Account.from_key(key.strip())
        except ValueError:
            # The original message repeats the key.
            raise EncodingError("The operator's private key has 32 bytes, written as hex.") from None

    def __repr__(self) -> str:
        return f"<LocalSigner {self.address}>"

    @property
    def address(self) -> str:
        return self._account.address

    def sign_transaction(self, fields: TransactionFields) -> str:
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": fields.chain_id,
            "nonce": fields.nonce,
            "to": fields.to,
            "value": fields.value_wei,
            "data": fields.data,
            "gas": fields.gas,
            "maxFeePerGas": fields.max_fee_wei,
            "maxPriorityFeePerGas": fields.tip_wei,
        }
        return "0x" + self._account.sign_transaction(transaction).raw_transaction.hex()

    def sign_typed_data(self, typed: TypedData) -> str:
        return "0x" + self._account.unsafe_sign_hash(Hash32(typed.digest())).signature.hex()
