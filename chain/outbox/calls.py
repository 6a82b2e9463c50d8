"""The operator's calls of the contracts, as transactions of the outbox.

Each may be made again at any time: the same facts give the same dedupe keys, and so are sent once.
"""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone
from eth_utils.crypto import keccak

from chain.abi import artefact, values_decode
from chain.bindings import licence_market, receipt_anchor
from chain.bindings.tokens import Data
from chain.errors import EncodingError
from chain.models import OutboxState, OutboxTransaction
from chain.outbox.services import transaction_enqueue
from chain.selectors import site_operator_id
from chain.transactions import TransactionRequest

# `LicenceMarket.BATCH`: the market refuses more at once.
BATCH = 50
USAGE_REPORT = "usage.report"
_UNDER_WAY = (OutboxState.QUEUED, OutboxState.SIGNED, OutboxState.MINED)


def usage_report_enqueue(
    licence_ids: Sequence[int], used: Sequence[int], *, occasion: str = ""
) -> list[OutboxTransaction]:
    """Report calls used, counted over each licence's life, in batches of 50, once per `occasion`.

    A later count of the same licences is another report. Raises `EncodingError` where the lists differ in length or a
    licence is named twice, and the address book's errors.
    """
    if len(licence_ids) != len(used) or len(set(licence_ids)) != len(licence_ids):
        raise EncodingError("A report names each licence once, and one number of calls for each.")
    pairs = sorted(zip(licence_ids, used, strict=True))
    market = licence_market()
    batches = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]
    with transaction.atomic():
        return [
            _enqueue(
                USAGE_REPORT, market.report_usage([one for one, _ in batch], [calls for _, calls in batch]), occasion
            )
            for batch in batches
        ]


def usage_reports_under_way() -> set[int]:
    """The licences that are named by reports which are not final yet, and so may still count, or count again."""
    rows = OutboxTransaction.objects.filter(purpose=USAGE_REPORT, state__in=_UNDER_WAY)
    inputs = artefact("LicenceMarket").functions["reportUsage"]["inputs"]
    calls = (values_decode(inputs, bytes.fromhex(data[10:])) for data in rows.values_list("data", flat=True))
    return {licence_id for licence_ids, _ in calls for licence_id in licence_ids}


def income_collect_enqueue(licence_ids: Sequence[int], *, occasion: str = "") -> list[OutboxTransaction]:
    """Collect what has vested of licences, in batches of 50, once per `occasion`: without one, once per day (UTC).

    Raises `EncodingError` and the address book's errors.
    """
    ids = sorted(set(licence_ids))
    occasion = occasion or timezone.now().date().isoformat()
    market = licence_market()
    batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    with transaction.atomic():
        return [_enqueue("income.collect", market.collect(batch), occasion) for batch in batches]


def receipts_anchor_enqueue(root: Data, count: int, cid: Data, *, operator_id: int | None = None) -> OutboxTransaction:
    """Anchor a batch of `count` receipts whose Merkle root is `root` and whose leaves are at `cid`.

    Without `operator_id` the site's own, which the demo has to ask a node for. Raises `EncodingError`, the address
    book's errors and, where a node is asked, the gateway's.
    """
    operator = site_operator_id() if operator_id is None else operator_id
    return _enqueue("receipts.anchor", receipt_anchor().anchor(operator, root, count, cid))


def _enqueue(purpose: str, request: TransactionRequest, occasion: str = "") -> OutboxTransaction:
    digest = keccak(text=f"{request.chain_id} {request.to} {request.data}").hex()
    key = ":".join(part for part in (purpose, occasion, digest) if part)
    return transaction_enqueue(purpose=purpose, request=request, dedupe_key=key)
