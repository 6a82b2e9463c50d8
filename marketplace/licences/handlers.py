"""`LicenceMarket` events become rows. Idempotent: an event that is handled again changes nothing.

Most events are copied field by field; `_COPIED` says which argument goes into which field. The others have a function.
"""

from typing import Any

from chain.handlers import DecodedEvent, register
from chain.models import ChainEvent
from marketplace.licences import models
from marketplace.licences.models import FromEvent, Holding, Licence, LicenceRenewal, LicenceSettlement, Plan

MARKET = "LicenceMarket"

# Event -> the model of its rows, and where each field comes from.
_COPIED: dict[str, tuple[type[FromEvent], dict[str, str]]] = {
    "PlanRetired": (models.PlanRetirement, {"plan_id": "planId"}),
    "Transfer": (
        models.LicenceTransfer,
        {"licence_id": "tokenId", "from_address": "from", "to_address": "to"},
    ),
    "UsageReported": (models.UsageReport, {"licence_id": "licenceId", "used": "used"}),
    "UsageSkipped": (models.UsageSkip, {"licence_id": "licenceId", "used": "used", "reason": "reason"}),
    "KeyDelivered": (
        models.KeyDelivery,
        {
            "licence_id": "licenceId",
            "holder": "holder",
            "recipient_key": "recipientKey",
            "wrapped_key_hash": "wrappedKeyHash",
        },
    ),
    "IncomeSplit": (
        models.IncomeSplit,
        {
            "plan_id": "planId",
            "token": "token",
            "amount": "amount",
            "treasury": "treasury",
            "fee": "fee",
            "payee": "payee",
            "service": "service",
            "publisher": "publisher",
        },
    ),
    "AncestorCredited": (
        models.AncestorCredit,
        {"plan_id": "planId", "model_id": "modelId", "token": "token", "amount": "amount"},
    ),
    "IncomeWithdrawn": (
        models.Withdrawal,
        {"model_id": "modelId", "token": "token", "to_address": "to", "amount": "amount"},
    ),
    "AccountWithdrawn": (
        models.AccountWithdrawal,
        {"account": "account", "token": "token", "to_address": "to", "amount": "amount"},
    ),
    "OperatorRegistered": (
        models.Operator,
        {"operator_id": "operatorId", "owner": "owner", "key": "key", "payee": "payee"},
    ),
    "OperatorChanged": (models.OperatorChange, {"operator_id": "operatorId", "key": "key", "payee": "payee"}),
    "OperatorDisabled": (models.OperatorDisablement, {"operator_id": "operatorId"}),
    "ModelSuspended": (models.Suspension, {"model_id": "modelId", "reason": "reason", "lapses_at": "until"}),
    "SuspensionConfirmed": (models.SuspensionConfirmation, {"model_id": "modelId"}),
    "ModelResumed": (models.SuspensionEnd, {"model_id": "modelId", "suspended_s": "suspendedSeconds"}),
}


def event_copied(event: DecodedEvent, row: ChainEvent) -> None:
    model, fields = _COPIED[event.name]
    _row(model, row, **{field: event.args[argument] for field, argument in fields.items()})


for _event in _COPIED:
    register(MARKET, _event)(event_copied)


@register(MARKET, "PlanAdded")
def plan_added(event: DecodedEvent, row: ChainEvent) -> None:
    terms = event.args["terms"]
    _row(
        Plan,
        row,
        plan_id=event.args["planId"],
        model_id=event.args["modelId"],
        plan_hash=event.args["planHash"],
        fee_bps=terms["feeBps"],
        operator_id=terms["operatorId"],
        service_bps=terms["serviceBps"],
        entry_bps=terms["entryBps"],
        **{name: terms[name] for name in ("token", "price", "period", "vesting", "calls", "supply", "flags")},
    )


@register(MARKET, "LicenceBought")
def licence_bought(event: DecodedEvent, row: ChainEvent) -> None:
    args = event.args
    _row(
        Licence,
        row,
        licence_id=args["licenceId"],
        plan_id=args["planId"],
        model_id=args["planId"] >> 32,
        expires_at=args["expiry"],
        **{name: args[name] for name in ("holder", "payer", "price", "entry", "calls")},
    )
    _hold(row, args["licenceId"], amount=args["price"] - args["entry"])


@register(MARKET, "LicenceRenewed")
def licence_renewed(event: DecodedEvent, row: ChainEvent) -> None:
    args = event.args
    _row(
        LicenceRenewal,
        row,
        licence_id=args["licenceId"],
        expires_at=args["expiry"],
        **{name: args[name] for name in ("payer", "price", "entry", "amount", "calls")},
    )
    _hold(row, args["licenceId"], amount=args["amount"])


@register(MARKET, "IncomeVested")
def income_vested(event: DecodedEvent, row: ChainEvent) -> None:
    """A licence that vests was bought: its holding is there, or the index lacks an event and must not go on."""
    licence_id, fresh = event.args["licenceId"], event.args["amount"]
    before = Holding.objects.filter(licence_id=licence_id, event__lt=row.pk).order_by("-event").first()
    if before is None:
        raise LookupError(f"Licence {licence_id} vests, and no event says what it holds.")
    _hold(row, licence_id, amount=before.amount, taken=before.taken + fresh, vested=fresh)


@register(MARKET, "LicenceCancelled")
def licence_cancelled(event: DecodedEvent, row: ChainEvent) -> None:
    args = event.args
    _row(
        models.LicenceCancellation,
        row,
        licence_id=args["licenceId"],
        plan_id=args["licenceId"] >> 32,
        holder=args["holder"],
        settle_at=args["settleAt"],
    )


@register(MARKET, "LicenceSettled")
def licence_settled(event: DecodedEvent, row: ChainEvent) -> None:
    args = event.args
    _row(
        LicenceSettlement,
        row,
        licence_id=args["licenceId"],
        plan_id=args["licenceId"] >> 32,
        holder=args["holder"],
        to_address=args["to"],
        refund=args["refund"],
    )
    _hold(row, args["licenceId"], amount=0)


def _row(model: type[FromEvent], row: ChainEvent, **fields: Any) -> None:
    model._default_manager.get_or_create(event=row, defaults=fields)


def _hold(row: ChainEvent, licence_id: int, *, amount: int, taken: int = 0, vested: int = 0) -> None:
    _row(Holding, row, licence_id=licence_id, plan_id=licence_id >> 32, amount=amount, taken=taken, vested=vested)
