"""What a wallet signs to buy, renew, leave, collect and withdraw: calls of the market, in the order to be sent.

With `sender`, calls are tried at the newest block first, so that a refusal comes with its reason before a wallet opens.
What a later call needs of an earlier one that is not mined yet (the approval of a price) cannot be tried. Every
function raises the address book's errors, EncodingError, and with `sender` the refusal: a `Reverted`,
`payment.balance_too_low`, or what the gateway raises.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chain.bindings import licence_market, token_at
from chain.bindings.structs import PlanTerms
from chain.gateway import get_gateway
from chain.gateway.errors import Reverted
from chain.gateway.parse import number_parse
from chain.transactions import TransactionRequest, simulate
from marketplace.licences import selectors
from marketplace.licences.errors import BalanceTooLowError, NothingToDoError, PlanRetiredError
from marketplace.licences.models import Plan
from marketplace.licences.selectors import PlanView
from marketplace.licences.tokens import NATIVE, amount_text

# What a purchase meets at the token itself while its approval is not mined: the market's own checks came before.
_OF_THE_TOKEN = {"ERC20InsufficientAllowance", "SafeERC20FailedOperation", "Error", "Panic", "Unknown"}

COLLECTIONS_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class WalletCall:
    """A transaction to sign. `purpose` is a stable word for programs, `summary` says to people what signing it does."""

    purpose: str
    summary: str
    request: TransactionRequest

    def json(self) -> dict[str, Any]:
        return {"purpose": self.purpose, "summary": self.summary, **self.request.json()}


def purchase_calls(view: PlanView, *, recipient: str, sender: str | None = None) -> list[WalletCall]:
    """Buy a licence for `recipient`; for an ERC-20, approve exactly the price first. Raises PlanRetiredError too."""
    plan = view.plan
    if view.is_retired:
        raise PlanRetiredError(f"Plan {plan.plan_id} is not sold any more. Choose another plan of the model.")
    summary = f"Buy a licence of plan {plan.number} of model {plan.model_id} for {amount_text(plan.price, plan.token)}"
    request = licence_market().buy(plan.plan_id, plan.plan_hash, recipient, value_wei=_value_wei(plan))
    return _paid(plan, WalletCall("buy", summary, request), sender)


def renewal_calls(licence_id: int, *, sender: str | None = None) -> list[WalletCall]:
    """Begin a new term of a licence; anyone may pay it. Raises LicenceNotFoundError too."""
    view = selectors.licence_require(licence_id)
    plan = view.plan
    summary = f"Renew licence {licence_id} for {amount_text(plan.price, plan.token)}"
    request = licence_market().renew(licence_id, plan.plan_hash, value_wei=_value_wei(plan))
    return _paid(plan, WalletCall("renew", summary, request), sender)


def cancellation_calls(licence_id: int, *, to: str, sender: str | None = None) -> list[WalletCall]:
    """End a licence; its holder signs. What has not vested is paid to `to`. Raises LicenceNotFoundError too."""
    view = selectors.licence_require(licence_id)
    later = "what has not vested is paid six hours later, by `settle`" if view.calls else f"the rest is paid to {to}"
    summary = f"Cancel licence {licence_id} for good; {later}"
    return tried([WalletCall("cancel", summary, licence_market().cancel(licence_id, to))], sender)


def settlement_calls(licence_id: int, *, to: str, sender: str | None = None) -> list[WalletCall]:
    """Have the refund of a cancelled licence paid. Anyone may, where `to` is the holder."""
    selectors.licence_require(licence_id)
    request = licence_market().settle(licence_id, to)
    return tried([WalletCall("settle", f"Settle licence {licence_id}: its refund is paid to {to}", request)], sender)


def collection_calls(plan_id: int, *, sender: str | None = None) -> list[WalletCall]:
    """Collect what has vested of a plan's licences, in batches, and split its income. Raises NothingToDoError.

    Where there are more batches than `COLLECTIONS_AT_ONCE`, the next call has the rest.
    """
    (income,) = selectors.plan_incomes([selectors.plan_get(plan_id)])
    market = licence_market()
    calls = [
        WalletCall("collect", f"Collect what has vested of {len(batch)} licences", market.collect(batch))
        for batch in income.collectable[:COLLECTIONS_AT_ONCE]
    ]
    if not calls and not income.is_split_due:
        raise NothingToDoError(f"Nothing of plan {plan_id} waits to be collected or split.", plan=str(plan_id))
    split = WalletCall("split", f"Share out the income of plan {plan_id}", market.split(plan_id))
    return tried([*calls, split], sender)


def withdrawal_calls(model_id: int, *, token: str, to: str, sender: str | None = None) -> list[WalletCall]:
    """Pay the model's whole credit in a token to `to`; the model's owner signs."""
    request = licence_market().withdraw(model_id, token, to)
    return tried([WalletCall("withdraw", f"Withdraw the income of model {model_id} to {to}", request)], sender)


def account_withdrawal_calls(*, token: str, to: str, sender: str) -> list[WalletCall]:
    """Pay the whole credit of `sender`, from service shares or fees, to `to`."""
    request = licence_market().withdraw_account(token, to)
    return tried([WalletCall("withdraw_account", f"Withdraw the shares of {sender} to {to}", request)], sender)


def plan_calls(terms: PlanTerms, *, sender: str | None = None) -> list[WalletCall]:
    """Add a plan; the model's owner signs."""
    price = amount_text(terms.price_units, terms.token)
    summary = f"Add a plan to model {terms.model_id}: {price} a licence. It never changes"
    return tried([WalletCall("add_plan", summary, licence_market().add_plan(terms))], sender)


def retirement_calls(plan_id: int, *, sender: str | None = None) -> list[WalletCall]:
    """Stop the sale and renewal of a plan, for good; the model's owner signs."""
    selectors.plan_get(plan_id)
    request = licence_market().retire_plan(plan_id)
    return tried([WalletCall("retire_plan", f"Stop the sale and renewal of plan {plan_id} for good", request)], sender)


def operator_registration_calls(*, key: str, payee: str, sender: str | None = None) -> list[WalletCall]:
    """Register an operator that the sender owns."""
    summary = f"Register an operator whose key is {key} and who is paid at {payee}"
    return tried([WalletCall("register_operator", summary, licence_market().register_operator(key, payee))], sender)


def operator_change_calls(operator_id: int, *, key: str, payee: str, sender: str | None = None) -> list[WalletCall]:
    """Name another key or payee; the operator's owner signs."""
    selectors.operator_get(operator_id)
    request = licence_market().set_operator(operator_id, key, payee)
    summary = f"Let {key} sign for operator {operator_id} and {payee} be paid"
    return tried([WalletCall("set_operator", summary, request)], sender)


def tried(calls: Sequence[WalletCall], sender: str | None) -> list[WalletCall]:
    """The calls, after each was tried by the sender. Those that only collect and split change nothing for the next."""
    for call in calls if sender is not None else ():
        simulate(call.request, sender=str(sender))
    return list(calls)


def _paid(plan: Plan, call: WalletCall, sender: str | None) -> list[WalletCall]:
    """A call that pays the plan's price, after the approval that it needs (if any), tried as far as it can be."""
    approval = _approval(plan)
    if sender is None:
        return [call] if approval is None else [approval, call]
    _balance_check(plan, sender)
    if approval is not None and _allowance(plan, sender) >= plan.price:
        approval = None
    try:
        simulate(call.request, sender=sender)
    except Reverted as error:
        if approval is None or error.error not in _OF_THE_TOKEN:
            raise
    return [call] if approval is None else [approval, call]


def _approval(plan: Plan) -> WalletCall | None:
    if plan.token == NATIVE or not plan.price:
        return None
    # For this price alone: a market that turned bad could take no more than what was agreed.
    request = token_at(plan.token).approve(licence_market().address, plan.price)
    return WalletCall("approve", f"Let the market take {amount_text(plan.price, plan.token)}", request)


def _allowance(plan: Plan, sender: str) -> int:
    return _read(token_at(plan.token).allowance(sender, licence_market().address).read)


def _balance_check(plan: Plan, sender: str) -> None:
    if plan.token == NATIVE:
        held = number_parse(get_gateway().request("eth_getBalance", [sender, "latest"]))
    else:
        held = _read(token_at(plan.token).balance_of(sender).read)
    if held < plan.price:
        raise BalanceTooLowError(
            f"{sender} holds {amount_text(held, plan.token)} and the price is {amount_text(plan.price, plan.token)}. "
            "Add funds, then try again.",
            held=str(held),
            price=str(plan.price),
            token=plan.token,
        )


def _read(ask: Callable[[], int]) -> int:
    """An answer of a token. One that refuses to answer cannot pay: it counts as nothing held and nothing allowed."""
    try:
        return ask()
    except Reverted:
        return 0


def _value_wei(plan: Plan) -> int:
    return plan.price if plan.token == NATIVE else 0
