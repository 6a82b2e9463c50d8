"""How much of an income is final: what was credited in blocks that no re-org can remove.

By the index, whose rows say in which block each credit stands. What the chain has and the index lacks is not final yet.
"""

from collections import defaultdict
from collections.abc import Iterable

from chain.finality import final_block
from marketplace.licences.models import AncestorCredit, IncomeSplit, Licence, LicenceRenewal


def model_credits_final(model_ids: Iterable[int], plan_ids: Iterable[int]) -> dict[tuple[int, str], int]:
    """What splits in final blocks credited to each model per token, in the token's smallest unit.

    `plan_ids` are all plans of these models.
    """
    final = final_block()
    sums: dict[tuple[int, str], int] = defaultdict(int)
    splits = IncomeSplit.objects.filter(plan_id__in=set(plan_ids), event__block_number__lte=final)
    for plan_id, token, publisher in splits.values_list("plan_id", "token", "publisher"):
        sums[plan_id >> 32, token] += publisher
    credits = AncestorCredit.objects.filter(model_id__in=set(model_ids), event__block_number__lte=final)
    for model_id, token, amount in credits.values_list("model_id", "token", "amount"):
        sums[model_id, token] += amount
    return sums


def account_credits_final(address: str) -> dict[str, int]:
    """What splits in final blocks credited to an operator's payee or a treasury, per token."""
    final = IncomeSplit.objects.filter(event__block_number__lte=final_block())
    sums: dict[str, int] = defaultdict(int)
    for token, service in final.filter(payee=address).values_list("token", "service"):
        sums[token] += service
    for token, fee in final.filter(treasury=address).values_list("token", "fee"):
        sums[token] += fee
    return sums


def sales_not_final(plan_ids: Iterable[int]) -> dict[int, int]:
    """What buyers of each plan paid in blocks that are not final yet, renewals included; plans without are left out."""
    ids, final = set(plan_ids), final_block()
    sums: dict[int, int] = defaultdict(int)
    sold = Licence.objects.filter(plan_id__in=ids, event__block_number__gt=final)
    for plan_id, price in sold.values_list("plan_id", "price"):
        sums[plan_id] += price
    renewed = LicenceRenewal.objects.filter(event__block_number__gt=final).values_list("licence_id", "price")
    for licence_id, price in renewed:
        if licence_id >> 32 in ids:
            sums[licence_id >> 32] += price
    return sums
