"""What happened to what is signed: mined, final, taken away by a re-org, or something else in its place."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weighhouse.core.faults import fault_point

from chain.gateway.errors import NodeBehind, NodeUnavailable
from chain.gateway.parse import number_parse, position_parse
from chain.gateway.protocol import ChainGateway, Heads
from chain.models import OutboxAttempt, OutboxState, OutboxTransaction
from chain.nonces import transaction_at_nonce
from chain.outbox import store
from chain.outbox.chain_reads import Counts, Mined, mined_read, revert_reason
from chain.outbox.errors import NonceTaken
from chain.outbox.store import Lease
from chain.sent import SentTransaction

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Follower:
    """One round's look at the chain. `counts` were read before any receipt is, by address."""

    gateway: ChainGateway
    lease: Lease
    heads: Heads
    counts: Mapping[str, Counts]

    def follow(self, row: OutboxTransaction) -> bool:
        """Move the row to where the chain has it. True where that changed anything.

        1. Ask for the receipt of every attempt with the row's nonce, the newest first. One that is there: mined, or
           final where its block is.
        2. None, and the row was mined: only where the node has another block at that height is it a re-org. A node
           that is shorter lags.
        3. None, and the chain has passed the nonce: find who used it.

        Raises the gateway's errors, `LeaseLost` and `OutboxMoved`.
        """
        attempts = [attempt for attempt in row.attempts.order_by("-pk") if attempt.nonce == row.nonce]
        for attempt in attempts:
            mined = mined_read(self.gateway, attempt.hash)
            if mined is not None:
                return self._mined(row, attempt, mined)
        if row.state == OutboxState.MINED:
            return self._unmined(row)
        if row.nonce is not None and self.counts[row.sender].latest > row.nonce:
            return self._nonce_used(row, row.nonce)
        return False

    def _mined(self, row: OutboxTransaction, attempt: OutboxAttempt, mined: Mined) -> bool:
        known = (row.state, row.tx_hash, row.block_hash) == (OutboxState.MINED, mined.tx_hash, mined.block_hash)
        if not known:
            self._mined_tell(row, attempt, mined)
            return True
        if mined.block_number > self.heads.finalized_number:
            return False
        (header,) = self.gateway.headers([mined.block_number])
        if header is None or header.hash != mined.block_hash:
            return False
        fault_point("outbox.before_final")
        store.final_set(self.lease, row)
        return True

    def _mined_tell(self, row: OutboxTransaction, attempt: OutboxAttempt, mined: Mined) -> None:
        reason = ("", "")
        if not mined.succeeded:
            call = {"from": row.sender, "to": row.to, "data": row.data, "value": hex(row.value_wei)}
            reason = revert_reason(self.gateway, call, block_number=mined.block_number)
            logger.error("Transaction %d (%s) failed in its block: %s", row.pk, row.purpose, reason[1])
        fault_point("outbox.receipt_seen")
        store.mined_set(self.lease, row, mined, attempt=attempt, reason=reason)
        fault_point("outbox.mined")

    def _unmined(self, row: OutboxTransaction) -> bool:
        (header,) = self.gateway.headers([row.block_number or 0])
        if header is None or header.hash == row.block_hash:
            return False
        logger.warning("A re-org took transaction %d (%s) out of its block.", row.pk, row.purpose)
        store.mined_undo(self.lease, row)
        return True

    def _nonce_used(self, row: OutboxTransaction, nonce: int) -> bool:
        try:
            found = transaction_at_nonce(
                self.gateway, row.sender, nonce, first=row.signed_block or 0, last=self.heads.latest.number
            )
            if found is None or found.place is None:
                raise NodeBehind(f"The node cannot tell yet which transaction used the nonce {nonce}.")
        except (NodeUnavailable, NodeBehind) as error:
            # It may lack the old state: this row waits, the others go on.
            store.reason_set(self.lease, row, error)
            return False
        ours = OutboxAttempt.objects.filter(hash=found.tx_hash).first()
        if ours is not None and ours.transaction_id == row.pk:
            # The receipt comes as soon as the node that has the block answers.
            return False
        if ours is None and _same_call(row, found):
            return self._adopt(row, found)
        return self._foreign(row, NonceTaken(_foreign_words(nonce, found.tx_hash)), found.place.number)

    def _adopt(self, row: OutboxTransaction, found: SentTransaction) -> bool:
        """Take what is on chain and does what the row wants for an attempt at it."""
        transaction = self.gateway.request("eth_getTransactionByHash", [found.tx_hash])
        if not isinstance(transaction, dict):
            return False
        gas, fees = position_parse(transaction.get("gas"), "gas limit"), _fees(transaction)
        store.attempt_adopt(self.lease, row, tx_hash=found.tx_hash, gas=gas, fees=fees)
        logger.warning("Transaction %d (%s) is on chain as %s, unknown here.", row.pk, row.purpose, found.tx_hash)
        return True

    def _foreign(self, row: OutboxTransaction, error: NonceTaken, block: int) -> bool:
        """Only when the stranger's block is final can none of ours be mined any more; until then, wait."""
        if block > self.heads.finalized_number:
            store.reason_set(self.lease, row, error)
            return False
        store.nonce_give_up(self.lease, row, error)
        logger.error("Transaction %d (%s) lost its nonce for good. %s", row.pk, row.purpose, error.message)
        return True


def _foreign_words(nonce: int, tx_hash: str) -> str:
    return (
        f"The account's nonce {nonce} was used by {tx_hash}, which this site did not send. Does somebody else hold the"
        " key? The call gets a new nonce when that block is final."
    )


def _same_call(row: OutboxTransaction, found: SentTransaction) -> bool:
    to = (found.to or "").lower()
    return (to, "0x" + found.data.hex(), found.value) == (row.to.lower(), row.data, row.value_wei)


def _fees(transaction: Mapping[str, Any]) -> tuple[int, int]:
    price = number_parse(transaction.get("maxFeePerGas") or transaction.get("gasPrice"))
    return price, number_parse(transaction.get("maxPriorityFeePerGas") or hex(price))
