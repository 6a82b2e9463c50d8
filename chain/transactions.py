"""Transactions: what a wallet is asked to sign, and what an operator's command sends with a key of its own."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain import abi
from chain.address_book import book_read
from chain.errors import EncodingError, TransactionFailed, TransactionTimeout
from chain.gateway import get_gateway
from chain.gateway.errors import ChainError, Reverted
from chain.gateway.parse import number_parse
from chain.gateway.protocol import ChainGateway, Receipt
from chain.sent import SentTransaction, sent_parse

POLL_INTERVAL_S = 0.05
# The estimate is of the state now; the transaction meets another one, in which more has vested and storage slots may
# be written that are empty now. Two of those fit into the room.
GAS_MARGIN = 1.2
GAS_ROOM = 60_000


@dataclass(frozen=True, slots=True)
class TransactionRequest:
    """A transaction without sender, nonce and fees: those are the wallet's. `to` is None for a deployment."""

    chain_id: int
    to: str | None
    data: str
    value: int = 0

    def json(self) -> dict[str, Any]:
        """For our API: integers as decimal strings."""
        return {"chain_id": str(self.chain_id), "to": self.to, "data": self.data, "value": str(self.value)}

    def wallet_params(self) -> dict[str, str]:
        """The parameter of `eth_sendTransaction` (EIP-1193), to which the page adds `from`."""
        params = {"data": self.data, "value": hex(self.value)}
        return params if self.to is None else {"to": self.to, **params}


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    raw: str
    tx_hash: str
    sender: str
    nonce: int


def call_data(
    contract: str,
    function: str,
    args: Sequence[Any],
    *,
    value: int = 0,
    to: str | None = None,
    chain_id: int | None = None,
) -> TransactionRequest:
    """A call of a contract, `value` in wei, at the address of the site's own where `to` is not given.

    Raises `EncodingError` and the address book's errors. `chain.bindings` has a typed function for every call.
    """
    if not 0 <= value < 2**256:
        raise EncodingError("A transaction carries 0 wei or more, below 2^256.")
    data = abi.call_encode(contract, function, list(args))
    address = to or book_read(settings.ADDRESS_BOOK_DIR, settings.CHAIN_ID).contract(contract).address
    return TransactionRequest(chain_id or settings.CHAIN_ID, address, data, value)


def simulate(request: TransactionRequest, *, sender: str) -> None:
    """Try a call at the newest block without sending it. Raises `Reverted` with the decoded reason."""
    transaction = {"from": sender, **request.wallet_params()}
    get_gateway().request("eth_call", [transaction, "latest"])


def address_of(account_key: str) -> str:
    """The checksummed address of a private key."""
    return _account(account_key).address


def sign(account_key: str, request: TransactionRequest, *, gateway: ChainGateway | None = None) -> SignedTransaction:
    """Complete a request with nonce, gas and fees, and sign it. Raises `Reverted` where it would fail now."""
    gateway = gateway or get_gateway()
    account = _account(account_key)
    estimate = {"from": account.address, **request.wallet_params()}
    nonce = number_parse(gateway.request("eth_getTransactionCount", [account.address, "pending"]))
    gas = int(number_parse(gateway.request("eth_estimateGas", [estimate, "pending"])) * GAS_MARGIN) + GAS_ROOM
    transaction: dict[str, Any] = {
        "chainId": request.chain_id,
        "nonce": nonce,
        "gas": gas,
        "data": request.data,
        "value": request.value,
        **({} if request.to is None else {"to": request.to}),
        **_fees(gateway),
    }
    signed = account.sign_transaction(transaction)
    return SignedTransaction(
        raw="0x" + signed.raw_transaction.hex(), tx_hash="0x" + signed.hash.hex(), sender=account.address, nonce=nonce
    )


def send(account_key: str, request: TransactionRequest, *, gateway: ChainGateway | None = None) -> str:
    """Sign with a local key and send. Returns the transaction's hash; `receipt_wait` waits for its block."""
    gateway = gateway or get_gateway()
    signed = sign(account_key, request, gateway=gateway)
    gateway.request("eth_sendRawTransaction", [signed.raw])
    return signed.tx_hash


def receipt_wait(tx_hash: str, *, timeout_s: float = 120.0, gateway: ChainGateway | None = None) -> Receipt:
    """Wait until a transaction is in a block. Raises `TransactionTimeout`; `TransactionFailed` if it failed there."""
    gateway = gateway or get_gateway()
    deadline = time.monotonic() + timeout_s
    while (receipt := gateway.receipt(tx_hash)) is None:
        if time.monotonic() > deadline:
            raise TransactionTimeout(f"Transaction {tx_hash} is in no block after {timeout_s:.0f} s.", tx_hash=tx_hash)
        time.sleep(POLL_INTERVAL_S)
    if not receipt.succeeded:
        reason = _failure_reason(tx_hash, receipt, gateway)
        raise TransactionFailed(f"Transaction {tx_hash} failed: {reason}", tx_hash=tx_hash, reason=reason)
    return receipt


def _failure_reason(tx_hash: str, receipt: Receipt, gateway: ChainGateway) -> str:
    sent = gateway.request("eth_getTransactionByHash", [tx_hash])
    if sent is None:
        return "the node no longer knows it."
    (answer,) = gateway.request_many([rerun(sent_parse(sent), receipt.block_number)])
    return refusal_reason(answer)


def rerun(sent: SentTransaction, block_number: int) -> tuple[str, list[Any]]:
    """The request that runs a failed transaction again on top of its own block. The state may have moved: a hint."""
    again = {"from": sent.sender, "value": hex(sent.value), "data": "0x" + sent.data.hex()}
    return "eth_call", [again if sent.to is None else {"to": sent.to, **again}, hex(block_number)]


def refusal_reason(answer: Any) -> str:
    """Why a transaction failed, in words, by the answer to `rerun`."""
    if isinstance(answer, Reverted):
        return answer.message
    if isinstance(answer, ChainError):
        return "the node cannot run it again."
    return "the reason cannot be reproduced; it may have run out of gas."


def _fees(gateway: ChainGateway) -> dict[str, int]:
    """EIP-1559 fees that survive several full blocks; a plain gas price on chains without a base fee."""
    block = gateway.request("eth_getBlockByNumber", ["latest", False])
    if not isinstance(block, dict) or block.get("baseFeePerGas") is None:
        return {"gasPrice": number_parse(gateway.request("eth_gasPrice", []))}
    tip = number_parse(gateway.request("eth_maxPriorityFeePerGas", []))
    return {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * number_parse(block["baseFeePerGas"]) + tip}


def _account(account_key: str) -> LocalAccount:
    try:
        account: LocalAccount = Account.from_key(account_key)
    except ValueError:
        # The original message repeats the key.
        raise EncodingError("A private key has 32 bytes, written as hex.") from None
    return account
