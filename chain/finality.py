"""How far a block can still change, in four tiers, from the database alone.

    pending    in no block that this site has indexed
    confirmed  indexed, and a re-org could still remove it; `confirmations` counts its own block and those above
    final      at or below the newest final block: the chain has promised to keep it
    reorged    it was indexed, and a re-org removed it

Models run at one confirmation. Only what is final releases a decryption key or counts as final income, because neither
can be taken back.
"""

from dataclasses import dataclass
from enum import StrEnum

from chain.models import ChainEvent, RemovedEvent
from chain.selectors import ChainStatus, chain_status


class Tier(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    FINAL = "final"
    REORGED = "reorged"


@dataclass(frozen=True, slots=True)
class Finality:
    """Where something stands. `confirmations` is 0 for what is pending or reorged."""

    tier: Tier
    confirmations: int = 0
    block_number: int | None = None

    @property
    def is_final(self) -> bool:
        return self.tier is Tier.FINAL

    @property
    def text(self) -> str:
        """For people, in a few words."""
        match self.tier:
            case Tier.PENDING:
                return "not in a block that was indexed"
            case Tier.CONFIRMED:
                return f"{self.confirmations} confirmation" + ("s" if self.confirmations != 1 else "")
            case Tier.FINAL:
                return "final"
            case Tier.REORGED:
                return "removed by a re-organisation"


def finality_at(block_number: int | None, *, status: ChainStatus | None = None) -> Finality:
    """The tier of what stands in this block of the indexed chain; None is no block.

    Pass `status` to judge many blocks by one look at the stream.
    """
    status = status or chain_status()
    if block_number is None or status.next_block is None or block_number >= status.next_block:
        return Finality(Tier.PENDING, block_number=block_number)
    return _indexed(block_number, status)


def finality_of(event: ChainEvent | RemovedEvent | None, *, status: ChainStatus | None = None) -> Finality:
    """The tier of an event that the index has, that a re-org removed, or (None) that was not seen yet."""
    if event is None:
        return Finality(Tier.PENDING)
    if isinstance(event, RemovedEvent):
        return Finality(Tier.REORGED, block_number=event.block_number)
    # A row is indexed whatever an older `status` says of its block.
    return _indexed(event.block_number, status or chain_status())


def final_block(status: ChainStatus | None = None) -> int:
    """The newest block that is indexed and final, -1 where there is none: rows up to it do not change any more."""
    status = status or chain_status()
    if status.finalized is None or status.next_block is None:
        return -1
    return min(status.finalized, status.next_block - 1)


def _indexed(block_number: int, status: ChainStatus) -> Finality:
    known = max(status.head or 0, (status.next_block or 0) - 1, block_number)
    tier = Tier.FINAL if block_number <= final_block(status) else Tier.CONFIRMED
    return Finality(tier, known - block_number + 1, block_number)
