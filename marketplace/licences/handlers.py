"""`LicenceMarket` events become rows. Idempotent: an event that is handled again changes nothing.

Most events are copied field by field; `_COPIED` says which argument goes into which field. The others have a function.
"""

from collections import defaultdict
from collections.abc import Sequence

from django.db.models import Max

from chain.bulk import ROWS_PER_STATEMENT, fields_insert, rows_insert
from chain.handlers import IndexedEvent, register
from marketplace.licences import models
from marketplace.licences.models import (
    FromEvent,
    Holding,
    Licence,
    LicenceCancellation,
    LicenceRenewal,
    LicenceSettlement,
    Plan,
)

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


@register(MARKET, *_COPIED)
def events_copied(events: Sequence[IndexedEvent]) -> None:
    by_name: dict[str, list[IndexedEvent]] = defaultdict(list)
    for item in events:
        by_name[item.name].append(item)
    for name, of_name in by_name.items():
        model, fields = _COPIED[name]
        rows = [
            {"event_id": item.row_id, **{field: item.args[argument] for field, argument in fields.items()}}
            for item in of_name
        ]
        fields_insert(model, rows)


@register(MARKET, "PlanAdded")
def plans_added(events: Sequence[IndexedEvent]) -> None:
    rows_insert(map(_plan, events))


@register(MARKET, "LicenceBought")
def licences_bought(events: Sequence[IndexedEvent]) -> None:
    rows_insert(map(_licence, events))


@register(MARKET, "LicenceRenewed")
def licences_renewed(events: Sequence[IndexedEvent]) -> None:
    copied = ("payer", "price", "entry", "amount", "calls")
    rows_insert(
        LicenceRenewal(
            event_id=item.row_id,
            licence_id=item.args["licenceId"],
            expires_at=item.args["expiry"],
            **{name: item.args[name] for name in copied},
        )
        for item in events
    )


@register(MARKET, "LicenceCancelled")
def licences_cancelled(events: Sequence[IndexedEvent]) -> None:
    rows_insert(
        LicenceCancellation(
            event_id=item.row_id,
            licence_id=item.args["licenceId"],
            plan_id=item.args["licenceId"] >> 32,
            holder=item.args["holder"],
            settle_at=item.args["settleAt"],
        )
        for item in events
    )


@register(MARKET, "LicenceSettled")
def licences_settled(events: Sequence[IndexedEvent]) -> None:
    rows_insert(
        LicenceSettlement(
            event_id=item.row_id,
            licence_id=item.args["licenceId"],
            plan_id=item.args["licenceId"] >> 32,
            holder=item.args["holder"],
            to_address=item.args["to"],
            refund=item.args["refund"],
        )
        for item in events
    )


@register(MARKET, "LicenceBought", "LicenceRenewed", "IncomeVested", "LicenceSettled")
def holdings_changed(events: Sequence[IndexedEvent]) -> None:
    """What each licence holds, from what it held before.

    A licence that vests was bought: its holding is there, or the index lacks an event and must not go on.
    """
    vesting = {item.args["licenceId"] for item in events if item.name == "IncomeVested"}
    newest = _holdings_before(vesting, row_id=events[0].row_id)
    rows = []
    for item in events:
        holding = _holding(item, newest.get(item.args["licenceId"]))
        newest[holding.licence_id] = holding
        rows.append(holding)
    rows_insert(rows)


def _holding(item: IndexedEvent, before: Holding | None) -> Holding:
    args, taken, vested = item.args, 0, 0
    if item.name == "IncomeVested":
        if before is None:
            raise LookupError(f"Licence {args['licenceId']} vests, and no event says what it holds.")
        amount, taken, vested = before.amount, before.taken + args["amount"], args["amount"]
    elif item.name == "LicenceBought":
        amount = args["price"] - args["entry"]
    else:
        amount = args["amount"] if item.name == "LicenceRenewed" else 0
    return Holding(
        event_id=item.row_id,
        licence_id=args["licenceId"],
        plan_id=args["licenceId"] >> 32,
        amount=amount,
        taken=taken,
        vested=vested,
    )


def _holdings_before(licence_ids: set[int], *, row_id: int) -> dict[int, Holding]:
    """The newest holding of each licence before the event `row_id`."""
    found: dict[int, Holding] = {}
    ids = sorted(licence_ids)
    for start in range(0, len(ids), ROWS_PER_STATEMENT):
        of_these = Holding.objects.filter(licence_id__in=ids[start : start + ROWS_PER_STATEMENT], event__lt=row_id)
        newest = of_these.values("licence_id").annotate(newest=Max("event")).values("newest")
        found |= {holding.licence_id: holding for holding in Holding.objects.filter(event__in=newest)}
    return found


def _plan(item: IndexedEvent) -> Plan:
    args, terms = item.args, item.args["terms"]
    return Plan(
        event_id=item.row_id,
        plan_id=args["planId"],
        model_id=args["modelId"],
        plan_hash=args["planHash"],
        fee_bps=terms["feeBps"],
        operator_id=terms["operatorId"],
        service_bps=terms["serviceBps"],
        entry_bps=terms["entryBps"],
        **{name: terms[name] for name in ("token", "price", "period", "vesting", "calls", "supply", "flags")},
    )


def _licence(item: IndexedEvent) -> Licence:
    args = item.args
    return Licence(
        event_id=item.row_id,
        licence_id=args["licenceId"],
        plan_id=args["planId"],
        model_id=args["planId"] >> 32,
        expires_at=args["expiry"],
        **{name: args[name] for name in ("holder", "payer", "price", "entry", "calls")},
    )
