"""`LicenceMarket` events become rows. Idempotent: an event that is handled again changes nothing."""

from chain.handlers import DecodedEvent, register
from chain.models import ChainEvent
from marketplace.licences.models import Licence, LicenceTransfer, Plan, PlanRetirement, Withdrawal


@register("LicenceMarket", "PlanAdded")
def plan_added(event: DecodedEvent, row: ChainEvent) -> None:
    terms = event.args["terms"]
    Plan.objects.get_or_create(
        event=row,
        defaults={
            "plan_id": event.args["planId"],
            "model_id": event.args["modelId"],
            "plan_hash": event.args["planHash"],
            "token": terms["token"],
            "price": terms["price"],
            "period": terms["period"],
            "calls": terms["calls"],
            "supply": terms["supply"],
            "flags": terms["flags"],
        },
    )


@register("LicenceMarket", "PlanRetired")
def plan_retired(event: DecodedEvent, row: ChainEvent) -> None:
    PlanRetirement.objects.get_or_create(event=row, defaults={"plan_id": event.args["planId"]})


@register("LicenceMarket", "LicenceBought")
def licence_bought(event: DecodedEvent, row: ChainEvent) -> None:
    plan_id = event.args["planId"]
    Licence.objects.get_or_create(
        event=row,
        defaults={
            "licence_id": event.args["licenceId"],
            "plan_id": plan_id,
            "model_id": plan_id >> 32,
            "holder": event.args["holder"],
            "payer": event.args["payer"],
            "price": event.args["price"],
            "expires_at": event.args["expiry"],
            "calls": event.args["calls"],
        },
    )


@register("LicenceMarket", "Transfer")
def licence_transferred(event: DecodedEvent, row: ChainEvent) -> None:
    LicenceTransfer.objects.get_or_create(
        event=row,
        defaults={
            "licence_id": event.args["tokenId"],
            "from_address": event.args["from"],
            "to_address": event.args["to"],
        },
    )


@register("LicenceMarket", "IncomeWithdrawn")
def income_withdrawn(event: DecodedEvent, row: ChainEvent) -> None:
    Withdrawal.objects.get_or_create(
        event=row,
        defaults={
            "model_id": event.args["modelId"],
            "token": event.args["token"],
            "to_address": event.args["to"],
            "amount": event.args["amount"],
        },
    )
