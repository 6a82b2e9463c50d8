#!/usr/bin/env python3
"""Publish a model from a directory: upload, wait for the check, sign `publish`, add a plan, wait until it is listed.

    export WEIGHHOUSE_API_KEY=wh_...            # from the page "API keys", scope `publish`
    export WEIGHHOUSE_PRIVATE_KEY=0x...         # of the account that the API key belongs to
    python examples/publish_model.py ./model --site http://127.0.0.1:8000 --rpc http://127.0.0.1:8545 \
        --name "Review sentiment" --task text-classification --licence Apache-2.0 \
        --market 0x... --price-wei 1000000000000000

Needs `pip install weighhouse web3`. Without `--market` no plan is added. With `--model ID` the directory becomes a new
release of a model that you own. An interrupted run can be repeated: files that arrived are not sent again, and the same
files give the same release.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception
from weighhouse.client import ApiError, Client
from weighhouse.core.errors import WeighhouseError

RUN = 1
LISTED_WITHIN_S = 120
MODEL_PUBLISHED = Web3.keccak(text="ModelPublished(uint256,address,bytes32)")


class PublishError(Exception):
    """What went wrong, in a sentence for the person at the terminal."""


def main() -> int:
    arguments = parse()
    try:
        model_id = publish(arguments)
    except ApiError as error:
        print(f"{error.message} [{error.code}]", file=sys.stderr)
        print_refusals(error.problem.get("refusals", []))
        return 1
    except (PublishError, WeighhouseError, Web3Exception) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Model {model_id} is listed: {arguments.site}/models/{model_id}/")
    return 0


def publish(arguments: argparse.Namespace) -> int:
    """All steps; returns the model's id."""
    account: LocalAccount = Account.from_key(secret("WEIGHHOUSE_PRIVATE_KEY"))
    chain = Web3(HTTPProvider(arguments.rpc, request_kwargs={"timeout": 30}))
    with Client(arguments.site, secret("WEIGHHOUSE_API_KEY")) as client:
        release = checked_release(client, arguments)
        if release["publisher"].lower() != account.address.lower():
            raise PublishError(
                f"The API key belongs to {release['publisher']}, the private key to {account.address}. "
                "Use both of the same account."
            )
        model_id = published_model(client, chain, account, release, model=arguments.model)
        if arguments.market and not arguments.model:
            terms = plan_terms(arguments)
            add_plan(
                chain, account, client.plan_transactions(model_id, terms, sender=account.address), arguments.market
            )
        wait_until_listed(client, model_id, release["digest"])
    return model_id


def checked_release(client: Client, arguments: argparse.Namespace) -> dict[str, Any]:
    """Upload and wait for the check. Raises PublishError with every refusal."""
    metadata: dict[str, Any] = {
        "name": arguments.name,
        "task": arguments.task,
        "licence": arguments.licence,
        "summary": arguments.summary,
        "dtype": arguments.dtype,
    }
    if arguments.model:
        metadata["model"] = str(arguments.model)
    submitted = client.publish_directory(
        arguments.directory, metadata, progress=lambda path, number, count: print(f"[{number}/{count}] {path}")
    )
    print(f"Root CID {submitted['root_cid']}; the site checks the files and tries the model ...")
    release = client.release_wait(submitted["id"], timeout_s=arguments.timeout)
    if release["state"] != "ready":
        print_refusals(release["refusals"])
        raise PublishError("The release was refused. Mend what is listed above and run this again.")
    return release


def published_model(
    client: Client, chain: Web3, account: LocalAccount, release: dict[str, Any], *, model: int | None
) -> int:
    """Sign what the site proposes, unless the chain has the release already. Returns the model's id."""
    for published in release["published"]:
        if model is None or int(published["model"]) == model:
            print(f"Already on chain as model {published['model']}.")
            return int(published["model"])
    if model is not None:
        release = client.release_get(release["id"], model=model)
    receipt = send(chain, account, release["transaction"])
    if model is not None:
        return model
    for log in receipt["logs"]:
        if log["topics"] and bytes(log["topics"][0]) == bytes(MODEL_PUBLISHED):
            return int.from_bytes(log["topics"][1], "big")
    raise PublishError(f"The transaction {receipt['transactionHash'].to_0x_hex()} published no model.")


def plan_terms(arguments: argparse.Namespace) -> dict[str, Any]:
    """Licences to run: perpetual unless a period is given, unmetered unless calls are, vesting at once unless it is."""
    return {
        "price": str(arguments.price_wei),
        "period_s": arguments.period_s,
        "vesting_s": arguments.vesting_s,
        "calls": arguments.calls,
        "operator": arguments.operator,
        "supply": arguments.supply,
        "flags": RUN,
    }


def add_plan(chain: Web3, account: LocalAccount, calls: list[dict[str, str]], market: str) -> None:
    """Sign what the site proposes, for the market that was named and no other contract."""
    for call in calls:
        if call["to"].lower() != market.lower():
            raise PublishError(f"The site's plans go to {call['to']}, not to {market}. Nothing was sent.")
        send(chain, account, call)
        print(f"{call['summary']}.")


def send(chain: Web3, account: LocalAccount, request: dict[str, str]) -> Any:
    """Sign a transaction with the local key, send it, wait for its receipt. Raises PublishError if it reverts."""
    if int(request["chain_id"]) != chain.eth.chain_id:
        raise PublishError(f"The site is on chain {request['chain_id']}, the node at --rpc on {chain.eth.chain_id}.")
    transaction: Any = {
        "from": account.address,
        "to": Web3.to_checksum_address(request["to"]),
        "data": request["data"],
        "value": int(request["value"]),
        "chainId": chain.eth.chain_id,
        "nonce": chain.eth.get_transaction_count(account.address, "pending"),
    }
    block = chain.eth.get_block("latest")
    transaction["maxPriorityFeePerGas"] = chain.eth.max_priority_fee
    transaction["maxFeePerGas"] = 2 * block["baseFeePerGas"] + transaction["maxPriorityFeePerGas"]
    # A call that would revert fails here, with its reason, and costs nothing.
    transaction["gas"] = chain.eth.estimate_gas(transaction) * 12 // 10
    tx_hash = chain.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    print(f"Sent {tx_hash.to_0x_hex()} ...")
    receipt = chain.eth.wait_for_transaction_receipt(tx_hash, timeout=180, poll_latency=0.5)
    if receipt["status"] != 1:
        raise PublishError(f"The transaction {tx_hash.to_0x_hex()} reverted.")
    return receipt


def wait_until_listed(client: Client, model_id: int, digest: str) -> None:
    """Wait until the site's indexer saw the release."""
    deadline = time.monotonic() + LISTED_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if client.model_get(model_id)["digest"] == digest:
                return
        except ApiError as error:
            if error.status != 404:
                raise
        time.sleep(1)
    raise PublishError(f"Model {model_id} is on chain, but the site does not list it yet. Look at its status page.")


def print_refusals(refusals: list[dict[str, str]]) -> None:
    for refusal in refusals:
        print(f"  {refusal['path'] or 'release'}: {refusal['found']} [{refusal['code']}]", file=sys.stderr)
        print(f"      {refusal['remedy']}", file=sys.stderr)


def secret(name: str) -> str:
    """A secret from the environment: never from the command line, where others could read it."""
    value = os.environ.get(name, "")
    if not value:
        raise PublishError(f"Set {name} in the environment.")
    return value


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--site", required=True)
    parser.add_argument("--rpc", required=True, help="a node of the site's chain")
    parser.add_argument("--name", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--licence", required=True, help="an SPDX expression")
    parser.add_argument("--summary", default="")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--model", type=int, help="make a new release of this model of yours")
    parser.add_argument("--market", help="address of LicenceMarket; adds a plan there")
    parser.add_argument("--price-wei", type=int, default=10**15)
    parser.add_argument("--period-s", type=int, default=0, help="0: perpetual")
    parser.add_argument("--vesting-s", type=int, default=0, help="0: at once; on a timed plan, its period")
    parser.add_argument("--calls", type=int, default=0, help="0: unmetered; otherwise an operator is needed")
    parser.add_argument("--operator", type=int, default=0, help="who attests use")
    parser.add_argument("--supply", type=int, default=1000)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds to wait for the check")
    arguments = parser.parse_args()
    if not arguments.directory.is_dir():
        parser.error(f"{arguments.directory} is not a directory")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
