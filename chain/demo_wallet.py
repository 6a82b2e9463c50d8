"""A wallet for the development chain, so that a newcomer with a plain browser can do everything.

It holds no keys: the development node signs with its unlocked accounts, whose keys everybody knows. A short list of
methods passes, each with its form checked. Nothing passes outside demo mode, nor where the settings or the node itself
name any other chain.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings

from chain.development import DEVELOPMENT_ACCOUNTS, development_require
from chain.errors import DemoWalletRefused
from chain.gateway import get_gateway
from chain.gateway.parse import number_parse

PARAMS_MAX_BYTES = 64 * 1024
PARAMS_MAX_COUNT = 3
# Codes of EIP-1193, EIP-3326 and JSON-RPC.
UNAUTHORIZED, UNSUPPORTED_METHOD, UNKNOWN_CHAIN, INVALID_PARAMS = 4100, 4200, 4902, -32602

_ACCOUNTS = {account.address.lower() for account in DEVELOPMENT_ACCOUNTS}
_TRANSACTION_MEMBERS = frozenset(
    {"from", "to", "data", "input", "value", "nonce", "type", "chainId", "accessList"}
    | {"gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"}
)
_HEX = re.compile(r"0x([0-9a-fA-F]{2})*")
_FORWARDED = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByNumber",
        "eth_getCode",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
    }
)


def demo_wallet_request(method: str, params: Sequence[Any]) -> Any:
    """Answer an EIP-1193 request. The result is JSON.

    Raises `DemoWalletRefused` (its `rpc_code` is for the page), `DevelopmentOnly`, `Reverted`, `RpcError` and the other
    errors of the gateway.
    """
    _development_check()
    _form_check(method, params)
    own = _OWN.get(method)
    if own is not None:
        return own(params)
    if method not in _FORWARDED:
        raise DemoWalletRefused(f"The demo wallet does not know {method[:60]!r}.", rpc_code=UNSUPPORTED_METHOD)
    return get_gateway().request(method, list(params))


def _development_check() -> None:
    if not (settings.DEMO and settings.DEMO_WALLET):
        raise DemoWalletRefused("The demo wallet is switched off on this site.", rpc_code=UNAUTHORIZED)
    development_require(settings.CHAIN_ID, "The demo wallet")
    # What the node says counts, not only what the settings say of it.
    development_require(number_parse(get_gateway().request("eth_chainId", [])), "The demo wallet")


def _form_check(method: str, params: Sequence[Any]) -> None:
    if not isinstance(method, str) or not isinstance(params, list | tuple) or len(params) > PARAMS_MAX_COUNT:
        raise DemoWalletRefused(
            "A request has a method and a list of at most three parameters.", rpc_code=INVALID_PARAMS
        )
    if len(json.dumps(params)) > PARAMS_MAX_BYTES:
        raise DemoWalletRefused("The parameters are larger than 64 KiB.", rpc_code=INVALID_PARAMS)


def _accounts(_params: Sequence[Any]) -> list[str]:
    return [account.address for account in DEVELOPMENT_ACCOUNTS]


def _personal_sign(params: Sequence[Any]) -> Any:
    if len(params) < 2 or not all(isinstance(part, str) for part in params[:2]):
        raise DemoWalletRefused("personal_sign takes a message and an address.", rpc_code=INVALID_PARAMS)
    message, address = params[0], params[1]
    _own_account(address)
    if not _HEX.fullmatch(message):
        message = "0x" + message.encode().hex()
    return get_gateway().request("personal_sign", [message, address])


def _sign_typed_data(params: Sequence[Any]) -> Any:
    """EIP-712. The data come as the JSON text that wallets take, and must name this chain."""
    address, text = params if len(params) == 2 else (None, None)
    _own_account(address)
    try:
        typed = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        typed = None
    if not isinstance(typed, dict) or not isinstance(typed.get("domain"), dict):
        raise DemoWalletRefused("eth_signTypedData_v4 takes an address and typed data.", rpc_code=INVALID_PARAMS)
    if str(typed["domain"].get("chainId")) not in (str(settings.CHAIN_ID), hex(settings.CHAIN_ID)):
        raise DemoWalletRefused("The typed data are for another chain.", rpc_code=UNKNOWN_CHAIN)
    return get_gateway().request("eth_signTypedData_v4", [address, typed])


def _send_transaction(params: Sequence[Any]) -> Any:
    transaction = params[0] if len(params) == 1 else None
    if not isinstance(transaction, dict) or not set(transaction) <= _TRANSACTION_MEMBERS or not transaction.get("to"):
        raise DemoWalletRefused("eth_sendTransaction takes one transaction to an address.", rpc_code=INVALID_PARAMS)
    _own_account(transaction.get("from"))
    chain_id = transaction.get("chainId")
    if chain_id is not None and _number(chain_id) != settings.CHAIN_ID:
        raise DemoWalletRefused("The transaction is for another chain.", rpc_code=UNKNOWN_CHAIN)
    # As wallets do: what would fail is told now, with its reason, and costs nothing.
    get_gateway().request("eth_estimateGas", [transaction])
    return get_gateway().request("eth_sendTransaction", [transaction])


def _switch_chain(params: Sequence[Any]) -> None:
    wanted = params[0].get("chainId") if len(params) == 1 and isinstance(params[0], dict) else None
    if wanted is None:
        raise DemoWalletRefused("wallet_switchEthereumChain takes a chain id.", rpc_code=INVALID_PARAMS)
    if _number(wanted) != settings.CHAIN_ID:
        raise DemoWalletRefused(f"The demo wallet knows chain {settings.CHAIN_ID} only.", rpc_code=UNKNOWN_CHAIN)


def _own_account(address: Any) -> None:
    if not isinstance(address, str) or address.lower() not in _ACCOUNTS:
        raise DemoWalletRefused("The demo wallet signs for the development accounts only.", rpc_code=UNAUTHORIZED)


def _number(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", value):
        return int(value, 16)
    raise DemoWalletRefused("A chain id is written as 0x and hex digits.", rpc_code=INVALID_PARAMS)


_OWN: dict[str, Callable[[Sequence[Any]], Any]] = {
    "eth_accounts": _accounts,
    "eth_requestAccounts": _accounts,
    "personal_sign": _personal_sign,
    "eth_signTypedData_v4": _sign_typed_data,
    "eth_sendTransaction": _send_transaction,
    "wallet_switchEthereumChain": _switch_chain,
}
