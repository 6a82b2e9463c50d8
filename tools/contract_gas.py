"""What the contracts cost: receipts on a development chain, beside the goals and what others pay.

Writes and checks docs/gas.md. Every figure there that is ours comes from here; those of others are stated with their
source, and do not change.
"""

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools import contract_gas_page
from tools.contract_gas_chain import (
    COIN_PRICE,
    DAY_S,
    DEADLINE,
    DOWNLOAD,
    NATIVE,
    PRICE,
    RUN,
    GasError,
    Scene,
    scene_open,
)

BATCH = 50
WINDOW_S = 6 * 3600
Figures = dict[str, int]


@dataclass(frozen=True)
class Measured:
    """Gas by operation, gas of each contract's deployment, and bytes of its code."""

    calls: Figures
    deployments: Figures
    sizes: Figures


def publishing(scene: Scene) -> Figures:
    """`outsider` has no model yet, the registry has."""
    chain, by = scene.chain, scene.outsider
    figures = {
        "publish, first of a publisher": chain.send(by, "ModelRegistry.publish", b"\x01" * 32, [], 0),
        "publish, later": chain.send(by, "ModelRegistry.publish", b"\x02" * 32, [], 0),
    }
    parents = [[scene.publish(scene.other), 500] for _ in range(3)]
    for count, name in ((1, "one parent"), (3, "three parents")):
        figures[f"publish, {name}"] = chain.send(by, "ModelRegistry.publish", b"\x03" * 32, parents[:count], 0)
    figures["release"] = chain.send(scene.publisher, "ModelRegistry.release", scene.model, b"\x04" * 32)
    return figures


def pricing(scene: Scene) -> Figures:
    scene.plan()
    return {
        "addPlan": scene.chain.send(scene.publisher, "LicenceMarket.addPlan", scene.terms()),
        "registerOperator": scene.chain.send(
            scene.outsider, "LicenceMarket.registerOperator", scene.operator_key, scene.payee
        ),
        "suspend": scene.chain.send(scene.guardian, "LicenceMarket.suspend", scene.model, b"\x05" * 32),
    }


def buying(scene: Scene) -> Figures:
    """Each time the buyer's first licence, then one more."""
    plans = {
        "vesting": scene.plan(),
        "vesting, no entry share": scene.plan(entryBps=0),
        "at once": scene.plan(vesting=0),
        "coin, vesting": scene.plan(token=NATIVE, price=COIN_PRICE),
    }
    figures: Figures = {}
    for name, plan_id in plans.items():
        with scene.chain.undone():
            figures[f"buy, {name}, new buyer"] = scene.buy(plan_id, scene.buyer)
            figures[f"buy, {name}, again"] = scene.buy(plan_id, scene.buyer)
    return figures


def buying_signed(scene: Scene) -> Figures:
    """The same first purchase by a payer who approved nothing."""
    chain, payer, plan_id = scene.chain, scene.outsider, scene.plan()
    agreed = scene.agreed(plan_id)
    market = chain.addresses["LicenceMarket"]
    figures: Figures = {}
    with chain.undone():
        permit = {"owner": payer, "spender": market, "value": PRICE, "nonce": 0, "deadline": DEADLINE}
        v, r, s = _parts(chain.sign(payer, "Permit", permit, contract="TestUSD", name="Test US dollar"))
        figures["buyWithPermit, vesting, new buyer"] = chain.send(
            payer, "LicenceMarket.buyWithPermit", plan_id, agreed, payer, DEADLINE, v, r, s
        )
    salt = b"\x06" * 32
    nonce = chain.read("LicenceMarket.authorizationNonce", plan_id, agreed, payer, salt)
    transfer = {"from": payer, "to": market, "value": PRICE, "validAfter": 0, "validBefore": DEADLINE, "nonce": nonce}
    signature = chain.sign(payer, "ReceiveWithAuthorization", transfer, contract="TestUSD", name="Test US dollar")
    figures["buyWithAuthorization, vesting, new buyer"] = chain.send(
        scene.regular,
        "LicenceMarket.buyWithAuthorization",
        plan_id,
        agreed,
        payer,
        [payer, 0, DEADLINE, salt],
        *_parts(signature),
    )
    return figures


def renewing_and_leaving(scene: Scene) -> Figures:
    """After ten of thirty days, with everything still to be collected."""
    chain, buyer = scene.chain, scene.buyer
    plan_id, metered_plan = scene.plan(), scene.plan(calls=1000)
    licence, metered = scene.licence(plan_id, buyer), scene.licence(metered_plan, buyer)
    chain.skip(10 * DAY_S)
    figures: Figures = {}
    for name, licence_id in (("renew", licence), ("renew, metered", metered)):
        with chain.undone():
            agreed = scene.agreed(licence_id >> 32)
            figures[name] = chain.send(buyer, "LicenceMarket.renew", licence_id, agreed)
    with chain.undone():
        figures["transfer"] = chain.send(buyer, "LicenceMarket.transferFrom", buyer, scene.outsider, licence)
    figures["cancel, unmetered"] = chain.send(buyer, "LicenceMarket.cancel", licence, buyer)
    figures["cancel, metered"] = chain.send(buyer, "LicenceMarket.cancel", metered, buyer)
    chain.skip(WINDOW_S)
    figures["settle"] = chain.send(buyer, "LicenceMarket.settle", metered, buyer)
    return figures


def batches(scene: Scene) -> Figures:
    """Fifty licences at a time, ten days old, never collected and never reported before."""
    chain, figures = scene.chain, dict[str, int]()
    plan_id = scene.plan(calls=1000)
    licences = [scene.licence(plan_id, scene.buyer) for _ in range(BATCH)]
    others = [scene.licence(scene.plan(sold=False), scene.buyer) for _ in range(BATCH)]
    chain.skip(10 * DAY_S)
    with chain.undone():
        figures["collect, 50 of one plan"] = chain.send(scene.outsider, "LicenceMarket.collect", licences)
    figures["collect, 50 of 50 plans"] = chain.send(scene.outsider, "LicenceMarket.collect", others)
    figures["reportUsage, 50 of one plan"] = chain.send(
        scene.operator_key, "LicenceMarket.reportUsage", licences, [500] * BATCH
    )
    return figures


def delivering(scene: Scene) -> Figures:
    chain, key = scene.chain, "0x" + "07" * 32
    plan_id = scene.plan(period=0, flags=RUN | DOWNLOAD)
    licence_id = scene.licence(plan_id, scene.buyer)
    request = {"licenceId": licence_id, "recipientKey": key, "deadline": DEADLINE}
    signature = chain.sign(scene.buyer, "Deliver", request, contract="LicenceMarket", name="Weighhouse")
    return {
        "deliver": chain.send(
            scene.operator_key, "LicenceMarket.deliver", licence_id, key, DEADLINE, signature, b"\x08" * 32
        )
    }


def sharing(scene: Scene) -> Figures:
    """The second split of a plan: everyone who shares has a credit already. Then withdrawals, to who has money."""
    chain, figures = scene.chain, dict[str, int]()
    for count, name in ((0, "no ancestors"), (3, "three ancestors"), (8, "eight ancestors")):
        with chain.undone():
            parents = [(scene.publish(scene.other), 600) for _ in range(count)]
            plan_id = scene.plan(modelId=scene.publish(scene.publisher, parents))
            scene.share_out(plan_id)
            chain.skip(DAY_S)
            figures[f"split, {name}"] = scene.share_out(plan_id)
    usd = chain.addresses["TestUSD"]
    for name, token, price in (("token", usd, PRICE), ("coin", NATIVE, COIN_PRICE)):
        scene.share_out(scene.plan(token=token, price=price))
        figures[f"withdraw, {name}, to a non-zero balance"] = chain.send(
            scene.publisher, "LicenceMarket.withdraw", scene.model, token, scene.publisher
        )
    figures["withdrawAccount, token, to a non-zero balance"] = chain.send(
        scene.payee, "LicenceMarket.withdrawAccount", usd, scene.payee
    )
    return figures


def anchoring(scene: Scene) -> Figures:
    roots = [bytes([index]) * 32 for index in (1, 2)]
    gas = [scene.chain.send(scene.operator_key, "ReceiptAnchor.anchor", 1, root, 100, b"\x09" * 32) for root in roots]
    return {"anchor": gas[1]}


SCENARIOS: tuple[Callable[[Scene], Figures], ...] = (
    publishing,
    pricing,
    buying,
    buying_signed,
    renewing_and_leaving,
    batches,
    delivering,
    sharing,
    anchoring,
)


def measure(root: Path) -> Measured:
    """Take every figure, each scenario from the same state. `root` is the Foundry project. Raises GasError."""
    profile = tomllib.loads((root / "foundry.toml").read_text(encoding="utf-8"))["profile"]["default"]
    calls: Figures = {}
    with scene_open(evm_version=profile["evm_version"]) as scene:
        for scenario in SCENARIOS:
            with scene.chain.undone():
                calls |= scenario(scene)
        deployments = scene.deployed
    return Measured(calls, deployments, {name: code_size(root, name) for name in deployments})


def code_size(root: Path, name: str) -> int:
    artefact = json.loads((root / "abi" / f"{name}.json").read_text(encoding="utf-8"))
    return len(artefact["deployedBytecode"]) // 2 - 1


def snapshot_read(root: Path) -> Figures:
    """What forge counted for the same operations, and for views."""
    text = (root / "snapshots" / "GasTest.json").read_text(encoding="utf-8")
    return {operation: int(gas) for operation, gas in json.loads(text).items()}


def page_text(root: Path) -> str:
    """docs/gas.md as it should be. Raises GasError."""
    return contract_gas_page.page(measure(root))


def _parts(signature: str) -> tuple[int, bytes, bytes]:
    raw = bytes.fromhex(signature[2:])
    return raw[64], raw[:32], raw[32:64]


__all__ = ["GasError", "Measured", "measure", "page_text", "snapshot_read"]
