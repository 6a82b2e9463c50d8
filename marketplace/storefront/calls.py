"""What a button has a wallet sign: the call, in the page, for `static/src/behaviours/call.js` to try and send."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marketplace.licences.models import Plan
from marketplace.licences.tokens import NATIVE, amount_text
from marketplace.orders.models import OrderKind


@dataclass(frozen=True, slots=True)
class WalletCall:
    """A call of the market. `what` goes on from "Confirm in your wallet:", `label` is the button's.

    `token` and `price` say what the call pays: the script has the market allowed to take it first. `plan_id` and
    `licence_id` say what the order is about.
    """

    name: str
    args: Sequence[Any]
    kind: str
    what: str
    label: str
    look: str = ""
    token: str = NATIVE
    price: int = 0
    plan_id: int | None = None
    licence_id: int | None = None

    @property
    def args_json(self) -> str:
        """The arguments, integers as decimal strings: they exceed what JavaScript's numbers hold."""
        return json.dumps([_plain(arg) for arg in self.args])

    @property
    def value_wei(self) -> int:
        return self.price if self.token == NATIVE else 0

    @property
    def price_text(self) -> str:
        return amount_text(self.price, self.token)


def _plain(arg: Any) -> Any:
    if isinstance(arg, list | tuple):
        return [_plain(item) for item in arg]
    return str(arg) if isinstance(arg, int) else arg


def renew_call(licence_id: int, plan: Plan, *, price_text: str) -> WalletCall:
    what = f"renew licence {licence_id} for {price_text}"
    return WalletCall(
        "renew",
        [licence_id, plan.plan_hash],
        OrderKind.RENEW,
        what,
        f"Renew for {price_text}",
        token=plan.token,
        price=plan.price,
        licence_id=licence_id,
    )


def cancel_call(licence_id: int, *, holder: str, label: str) -> WalletCall:
    what = f"cancel licence {licence_id} for good"
    args = [licence_id, holder]
    return WalletCall("cancel", args, OrderKind.CANCEL, what, label, look="danger", licence_id=licence_id)


def settle_call(licence_id: int, *, holder: str, refund_text: str) -> WalletCall:
    what = f"settle licence {licence_id} and have {refund_text} paid to {holder}"
    label = f"Settle: {refund_text} to the holder"
    return WalletCall("settle", [licence_id, holder], OrderKind.SETTLE, what, label, licence_id=licence_id)


def collect_call(licence_ids: Sequence[int], *, label: str) -> WalletCall:
    what = f"move what has vested of {len(licence_ids)} licences to the income of their plans"
    return WalletCall("collect", [list(licence_ids)], OrderKind.COLLECT, what, label, look="small")


def split_call(plan: Plan, *, label: str) -> WalletCall:
    what = f"share out the income of plan {plan.number}"
    return WalletCall("split", [plan.plan_id], OrderKind.SPLIT, what, label, look="small", plan_id=plan.plan_id)


def withdraw_call(model_id: int, token: str, *, to: str, text: str) -> WalletCall:
    what = f"withdraw {text} to your account"
    return WalletCall(
        "withdraw", [model_id, token, to], OrderKind.WITHDRAW, what, "Withdraw", look="small", token=NATIVE
    )


def withdraw_account_call(token: str, *, to: str, text: str) -> WalletCall:
    what = f"withdraw {text} to your account"
    return WalletCall("withdrawAccount", [token, to], OrderKind.WITHDRAW_ACCOUNT, what, "Withdraw", look="small")


def retire_call(plan: Plan) -> WalletCall:
    return WalletCall(
        "retirePlan",
        [plan.plan_id],
        OrderKind.RETIRE_PLAN,
        f"retire plan {plan.number}",
        "Retire",
        look="small danger",
        plan_id=plan.plan_id,
    )
