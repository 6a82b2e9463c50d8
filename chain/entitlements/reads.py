"""What is asked about a block: licences, the market's settings, which blocks are canonical."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from chain import selectors
from chain.entitlements.heads import entitlement_block
from chain.entitlements.shared import Fact, facts_at
from chain.entitlements.values import (
    UINT256_MAX,
    clock_json,
    clock_parse,
    hash_or_empty_parse,
    licence_json,
    licence_parse,
    market_json,
    market_parse,
)
from chain.errors import EncodingError
from chain.gateway.errors import NodeBehind
from chain.gateway.protocol import Header
from chain.selectors import LicenceState, MarketSettings, ModelClock

T = TypeVar("T")


def licence_states(
    licence_ids: Iterable[int], *, block: Header | None = None, not_before: int = 0
) -> dict[int, LicenceState]:
    """Licences as the market states them at one block: `block`, or the newest. Unknown ids give `exists` false.

    How old "the newest" may be is said at the top of this package; `not_before` as in `entitlement_block`. What nobody
    has asked about that block yet is asked in one `eth_call` for every 200 licences, in one batch. A state that is
    remembered does not say that `block` is canonical still.

    Raises `NodeBehind` where the node does not have `block` (any more), `EncodingError` for what is no token id, and
    whatever the gateway and `address_book` raise.
    """
    ids = list(licence_ids)
    if not ids:
        return {}
    if block is None:
        return licence_states_now(ids, not_before=not_before)[1]
    for licence_id in ids:
        # A wrong one must not spoil the question of those that it would be joined with.
        if not 0 <= licence_id <= UINT256_MAX:
            raise EncodingError("A licence's id has 256 bits.")
    return facts_at(_LICENCES, ids, block)


def licence_states_now(licence_ids: Iterable[int], *, not_before: int = 0) -> tuple[Header, dict[int, LicenceState]]:
    """`licence_states` at the newest block, and that block. Raises what it raises."""
    ids = list(licence_ids)
    return _at_newest(lambda block: licence_states(ids, block=block), not_before)


def model_clocks_now(model_ids: Iterable[int], *, not_before: int = 0) -> tuple[Header, dict[int, ModelClock]]:
    """The clocks of models at the newest block, and that block. Raises what `licence_states_now` does."""
    ids = list(model_ids)
    return _at_newest(lambda block: facts_at(_CLOCKS, ids, block), not_before)


def market_settings(block: Header) -> MarketSettings:
    """`chain.selectors.market_settings` at a block. Raises what the gateway raises."""
    return facts_at(_MARKET, [""], block)[""]


def canonical_hashes(numbers: Iterable[int], block: Header) -> dict[int, str]:
    """Hashes of the blocks at these heights, as the node had them while `block` was new. Unknown ones are left out."""
    return {number: found for number, found in facts_at(_CANONICAL, numbers, block).items() if found}


def _at_newest(ask: Callable[[Header], T], not_before: int) -> tuple[Header, T]:
    block = entitlement_block(not_before=not_before)
    try:
        return block, ask(block)
    except NodeBehind:
        # A re-org took the block that was remembered. Once more, at what the node has now.
        block = entitlement_block(fresh=True)
        return block, ask(block)


def _licences_ask(licence_ids: Sequence[int], block: Header) -> dict[int, LicenceState]:
    return selectors.licence_states_at(licence_ids, block)


def _clocks_ask(model_ids: Sequence[int], block: Header) -> dict[int, ModelClock]:
    return selectors.model_clocks(model_ids, block_hash=block.hash)


def _market_ask(subjects: Sequence[str], block: Header) -> dict[str, MarketSettings]:
    return {subject: selectors.market_settings(block_hash=block.hash) for subject in subjects}


def _canonical_ask(numbers: Sequence[int], _block: Header) -> dict[int, str]:
    known = selectors.block_hashes(numbers)
    return {number: known.get(number, "") for number in numbers}


_LICENCES = Fact("licence", _licences_ask, licence_json, licence_parse)
_CLOCKS = Fact("clock", _clocks_ask, clock_json, clock_parse)
_MARKET = Fact("market", _market_ask, market_json, lambda _subject, value, _block: market_parse(value))
_CANONICAL = Fact("canonical", _canonical_ask, str, lambda _number, value, _block: hash_or_empty_parse(value))
