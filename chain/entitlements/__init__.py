"""What a licence entitles to now, asked of the chain and never of the read model, and shared by all processes.

**How old an answer may be.** Every answer is of one block, by its hash. That block was the newest of the node at a
moment at most `settings.HEAD_MAX_AGE_S` before the question was put (0: after it was put), plus the time that one write
to the broker takes. The broker counts that time, so that no two machines' clocks are compared. What a block changes
therefore counts for every question that is put `HEAD_MAX_AGE_S` after the node has the block. `not_before` tightens it:
whoever names the block that the index has is not told of an earlier one that another process remembered.

**What is shared.** Facts about a block never change, so that they lie in the broker under chain, contracts and block
hash until nobody asks any more. Each is asked of the node once: threads of a process join their questions, processes
see by a mark in the broker that another one is asking. What lies there is data: its form and its subject are checked,
and what does not fit is asked again. Whoever can write to the broker can however forge a fact that fits.

**When something is away.** Without the broker each process asks the node. Without the node every question about a block
that nobody asked about raises what the gateway raises: no licence is called invalid for it, and none valid.
"""

from chain.entitlements.heads import entitlement_block
from chain.entitlements.logs import RECENT_BLOCKS, licences_received, purchase_hashes
from chain.entitlements.reads import (
    canonical_hashes,
    licence_states,
    licence_states_now,
    market_settings,
    model_clocks_now,
)

__all__ = [
    "RECENT_BLOCKS",
    "canonical_hashes",
    "entitlement_block",
    "licence_states",
    "licence_states_now",
    "licences_received",
    "market_settings",
    "model_clocks_now",
    "purchase_hashes",
]
