"""The read models built anew from the chain, while pages go on showing the old ones."""

from collections.abc import Callable
from contextlib import suppress

from weighhouse.core.faults import fault_point

from chain.errors import RebuildOvertaken
from chain.indexer.run import Indexer, Step, index_to_head
from chain.indexer.shadow import Change, shadow, swap
from chain.models import Stream

# The running indexer is ahead by a block or two after each catching up, if at all.
SWAP_ATTEMPTS = 20


def index_rebuild(make: Callable[[], Indexer], *, progress: Callable[[Step], None] | None = None) -> Change:
    """Index the whole chain into tables of this connection's own, and put them in the place of the live ones.

    1. Hide the derived tables from this connection by empty ones (`chain.indexer.shadow`).
    2. Index to the head, by the code that indexes live.
    3. Swap, in one transaction. Where the running indexer was faster meanwhile, catch up and try again.

    The running indexer goes on until the swap, then continues from the new cursor. Whatever fails leaves the live
    tables as they were. Raises what `index_to_head` raises, and `RebuildOvertaken` after `SWAP_ATTEMPTS` attempts.
    """
    indexer = make()
    book = indexer.book
    # Made here, because the shadow's row is another one.
    Stream.objects.get_or_create(chain_id=book.chain_id, defaults={"next_block": book.deployed_at_block})
    with shadow():
        for _ in range(SWAP_ATTEMPTS - 1):
            index_to_head(indexer, progress=progress)
            fault_point("rebuild.indexed")
            with suppress(RebuildOvertaken):
                return swap()
        index_to_head(indexer, progress=progress)
        return swap()
