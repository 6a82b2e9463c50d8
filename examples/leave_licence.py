#!/usr/bin/env python3
"""Say what a licence is worth, and with `--cancel` end it and get back what has not vested.

    export WEIGHHOUSE_PRIVATE_KEY=0x...         # of the account that holds the licence; not needed to look
    python examples/leave_licence.py 18446744078004518913 --cancel \\
        --site http://127.0.0.1:8000 --rpc http://127.0.0.1:8545

Needs `pip install weighhouse web3`. Of a plan that counts calls, the refund is paid when the time for reports is over:
run the script again then, and it settles.
"""

import argparse
import os
import sys
import time
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception
from weighhouse.client import Client
from weighhouse.core.errors import WeighhouseError

# A refund is promised for a block up to this much later.
PROMISE_S = 600
INDEXED_WITHIN_S = 60
GAS_OF_VESTING = 40_000


class LeaveError(Exception):
    """What went wrong, in a sentence for the person at the terminal."""


def main() -> int:
    arguments = parse()
    try:
        with Client(arguments.site) as client:
            leave(client, arguments)
    except WeighhouseError as error:
        print(f"{error.message} [{error.code}]", file=sys.stderr)
        return 1
    except (LeaveError, Web3Exception) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def leave(client: Client, arguments: argparse.Namespace) -> None:
    """Look, and where it is asked for, cancel or settle and say what was paid."""
    now = client.licence_get(arguments.licence)["block_time"]
    licence = client.licence_get(arguments.licence, at=now + PROMISE_S)
    print(f"Licence {licence['licence']} is {licence['state']}. Vested: {licence['vested']} of {licence['amount']}.")
    if licence["state"] == "settled":
        print(f"It was settled and {licence['refund_paid']} came back, by {licence['settled_tx_hash']}.")
        return
    print(
        f"Now {licence['refund_text']} would come back, and at least {licence['refund_later']['text']} in ten minutes."
    )
    if arguments.cancel:
        sign(client, licence, arguments)


def sign(client: Client, licence: dict[str, Any], arguments: argparse.Namespace) -> None:
    account: LocalAccount = Account.from_key(secret("WEIGHHOUSE_PRIVATE_KEY"))
    chain = Web3(HTTPProvider(arguments.rpc, request_kwargs={"timeout": 30}))
    accounts = {"to": account.address, "sender": account.address}
    if licence["state"] != "cancelled":
        calls = client.cancellation_transactions(arguments.licence, **accounts)
    elif licence["settleable"]:
        calls = client.settlement_transactions(arguments.licence, **accounts)
    else:
        raise LeaveError(f"It is cancelled already, and is settled from {licence['settle_at']} on.")
    for call in calls:
        print(call["summary"])
        send(chain, account, call)
    after = indexed(client, arguments.licence, before=licence["state"])
    if after["state"] == "settled":
        print(f"{after['refund_paid']} came back, by {after['settled_tx_hash']}.")
    else:
        print(f"Cancelled. What has not vested is paid from {after['settle_at']} on: run this again then.")


def indexed(client: Client, licence_id: int, *, before: str) -> dict[str, Any]:
    """The licence once the site has seen what was sent."""
    deadline = time.monotonic() + INDEXED_WITHIN_S
    while time.monotonic() < deadline:
        licence = client.licence_get(licence_id)
        if licence["state"] in ("cancelled", "settled") and licence["state"] != before:
            return licence
        time.sleep(0.5)
    raise LeaveError("It is on chain, but the site does not show it yet. Look at its status page.")


def send(chain: Web3, account: LocalAccount, request: dict[str, str]) -> None:
    """Sign a transaction with the local key, send it, wait for its receipt. Raises LeaveError if it reverts."""
    if int(request["chain_id"]) != chain.eth.chain_id:
        raise LeaveError(f"The site is on chain {request['chain_id']}, the node at --rpc on {chain.eth.chain_id}.")
    transaction: Any = {
        "from": account.address,
        "to": Web3.to_checksum_address(request["to"]),
        "data": request["data"],
        "value": int(request["value"]),
        "chainId": chain.eth.chain_id,
        "nonce": chain.eth.get_transaction_count(account.address, "pending"),
        "maxPriorityFeePerGas": chain.eth.max_priority_fee,
        "maxFeePerGas": 2 * chain.eth.get_block("latest")["baseFeePerGas"] + chain.eth.max_priority_fee,
    }
    # An estimate at the newest block's time misses the gas for what vests until the transaction is mined.
    transaction["gas"] = chain.eth.estimate_gas(transaction, "pending") * 12 // 10 + GAS_OF_VESTING
    tx_hash = chain.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    if chain.eth.wait_for_transaction_receipt(tx_hash, timeout=180, poll_latency=0.5)["status"] != 1:
        raise LeaveError(f"The transaction {tx_hash.to_0x_hex()} reverted.")


def secret(name: str) -> str:
    """A secret from the environment: never from the command line, where others could read it."""
    value = os.environ.get(name, "")
    if not value:
        raise LeaveError(f"Set {name} in the environment.")
    return value


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("licence", type=int)
    parser.add_argument("--site", required=True)
    parser.add_argument("--rpc", required=True, help="a node of the site's chain")
    parser.add_argument("--cancel", action="store_true", help="end the licence, or settle it where it is cancelled")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
