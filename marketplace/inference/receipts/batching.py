"""Receipts collected into Merkle trees, whose roots the operator's outbox anchors."""

import logging
from datetime import UTC, datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point
from weighhouse.core.merkle import MerkleTree

from chain import selectors as chain
from chain.bindings import receipt_anchor
from chain.bindings.anchor import Anchored
from chain.bindings.base import View, views_require
from chain.gateway import get_gateway
from chain.gateway.errors import ChainError
from chain.outbox.calls import receipts_anchor_enqueue
from marketplace.inference.receipts.models import Receipt, ReceiptBatch

logger = logging.getLogger(__name__)

# The cid of a batch that is published nowhere.
NOWHERE = "0x" + "00" * 32
_FOLLOWED = 50


class _TakenError(Exception):
    """Another process has put some of the receipts into a batch."""


def receipts_anchor() -> int:
    """Put every receipt that is in no batch into one, and see to the batches under way. Returns the new batches."""
    made = 0
    while receipts_batch() is not None:
        made += 1
    batches_follow()
    return made


def receipts_batch() -> ReceiptBatch | None:
    """One batch of the oldest receipts that are in none; `None` where there is none to make.

    1. Read receipts of one operator at this site's contract, and compute their tree, while nothing is locked.
    2. In one transaction write the batch, put each receipt into it, and enqueue the call. If another process was
       faster with any of them, none of it happens. So a receipt is in one batch, and a batch is sent once.
    """
    try:
        anchor = chain.contract_address("ReceiptAnchor")
    except WeighhouseError:
        return None
    rows = _loose(anchor)
    if not rows:
        return None
    operator_id = rows[0][2]
    digests = [bytes.fromhex(digest[2:]) for _, digest, _ in rows]
    root = "0x" + MerkleTree.of(digests).root.hex()
    fault_point("receipts.before_batch")
    try:
        with transaction.atomic():
            batch = ReceiptBatch.objects.create(
                chain_id=settings.CHAIN_ID,
                receipt_anchor=anchor,
                operator_id=operator_id,
                root=root,
                leaves=b"".join(digests),
            )
            fault_point("receipts.in_batch")
            mine = Receipt.objects.filter(pk__in=[pk for pk, _, _ in rows], batch=None)
            if mine.update(batch=batch) != len(rows):
                raise _TakenError
            receipts_anchor_enqueue(root, len(rows), NOWHERE, operator_id=operator_id)
    except (_TakenError, IntegrityError):
        # Where it took exactly these, the same root is there.
        return None
    fault_point("receipts.after_batch")
    return batch


def batches_follow() -> None:
    """Ask the contract what it knows of batches that may still change. A node that is away changes nothing.

    The outbox sends again what a re-org removed; here the contract alone says whether a root is anchored.
    """
    open_batches = list(ReceiptBatch.objects.filter(chain_id=settings.CHAIN_ID, is_final=False).order_by("pk"))
    try:
        for start in range(0, len(open_batches), _FOLLOWED):
            _follow(open_batches[start : start + _FOLLOWED])
    except ChainError as error:
        logger.warning("Anchored batches cannot be followed now: %s", error.message)


def _loose(anchor: str) -> list[tuple[object, str, int]]:
    """Key, digest and operator of the oldest receipts in no batch; all of one operator."""
    loose = Receipt.objects.filter(
        ~Q(digest=""), batch=None, key__chain_id=settings.CHAIN_ID, key__receipt_anchor=anchor
    ).order_by("issued_at", "pk")
    first = loose.annotate(operator=F("key__operator_id")).values_list("operator", flat=True).first()
    if first is None:
        return []
    rows = loose.filter(key__operator_id=first)[: settings.RECEIPT_BATCH_MAX]
    return list(rows.values_list("pk", "digest", "key__operator_id"))


def _follow(batches: list[ReceiptBatch]) -> None:
    gateway, contract = get_gateway(), receipt_anchor()
    mine = [batch for batch in batches if batch.receipt_anchor == contract.address]
    if not mine:
        return
    heads = gateway.heads()
    views = [contract.anchored(batch.operator_id, batch.root) for batch in mine]
    now = views_require(views, block_hash=heads.latest.hash)
    final = _known_at(views, heads.finalized_number) if any(known.count for known in now) else None
    for place, (batch, known) in enumerate(zip(mine, now, strict=True)):
        at = datetime.fromtimestamp(known.anchored_at, UTC) if known.count else None
        is_final = final is not None and final[place] == known and known.count > 0
        ReceiptBatch.objects.filter(pk=batch.pk).update(anchored_at=at, is_final=is_final)


def _known_at(views: list[View[Anchored]], number: int) -> list[Anchored] | None:
    """The answers at a block; `None` where the contracts are not older than that, or the block was replaced."""
    block_hash = chain.block_hashes([number]).get(number)
    if block_hash is None or number <= chain.address_book().deployed_at_block:
        return None
    return views_require(views, block_hash=block_hash)
