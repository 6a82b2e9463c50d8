"""What the market's logs say that the index may not have yet. They propose; states at a block decide."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chain import abi
from chain.bindings.events import LicenceBought
from chain.entitlements.shared import Fact, facts_at
from chain.entitlements.values import hash_or_empty_parse, numbers_parse
from chain.gateway import get_gateway
from chain.gateway.errors import RangeTooLarge
from chain.gateway.protocol import Header, RawLog, Topics
from chain.selectors import address_book, contract_address

# How far below the index's last block is looked for what it may have missed.
RECENT_BLOCKS = 64
# An index that is further behind than this is not made up for block by block.
SEARCH_BLOCKS = 5000
# Requests that one search may cost, those included that the node refuses as too large. Enough for `RECENT_BLOCKS` of a
# node that answers ten blocks at a time.
SEARCH_REQUESTS = 12
RECEIVED_LIMIT = 200


@dataclass(frozen=True, slots=True)
class _Search:
    """A subject that is looked for from block `first` on."""

    subject: str
    first: int

    def __str__(self) -> str:
        return f"{self.subject}/{self.first}"


def licences_received(holder: str, *, block: Header, indexed_to: int) -> list[int]:
    """Licences that were bought for or sent to `holder` lately, newest first; it may hold them no longer.

    Looked for from `RECENT_BLOCKS` below `indexed_to`, the index's last block, up to `block`, at most `SEARCH_BLOCKS`.
    Asked once per holder and block. Raises what the gateway raises, but not `RangeTooLarge`: what a node refuses to
    look through is not found.
    """
    search = _Search(holder.lower(), _first(block, indexed_to))
    return facts_at(_RECEIVED, [search], block)[search]


def purchase_hashes(licence_ids: Iterable[int], *, block: Header, indexed_to: int) -> dict[int, str]:
    """The transactions in which these licences were bought, from logs. Those that are not found are left out.

    1. Look at the blocks that `licences_received` looks at.
    2. Look for the rest at everything since the contracts were deployed, as far as the node answers that.
    For valid licences only: nobody else shall make the node search. Raises what `licences_received` does.
    """
    first = _first(block, indexed_to)
    searches = {_Search(str(licence_id), first): licence_id for licence_id in licence_ids}
    found = facts_at(_PURCHASES, searches, block)
    return {licence_id: found[search] for search, licence_id in searches.items() if found[search]}


def _first(block: Header, indexed_to: int) -> int:
    oldest = min(indexed_to, block.number) - RECENT_BLOCKS + 1
    return max(oldest, block.number - SEARCH_BLOCKS + 1, 0)


def _received_ask(searches: Sequence[_Search], block: Header) -> dict[_Search, list[int]]:
    return {search: _received(search, block) for search in searches}


def _received(search: _Search, block: Header) -> list[int]:
    topic, receiver = abi.event_topic("LicenceMarket", "Transfer"), _word(int(search.subject, 16))
    logs = _logs_search([topic, None, receiver], first=search.first, last=block.number)
    ids = [int(log.topics[3], 16) for log in logs if len(log.topics) == 4 and log.topics[2] == receiver]
    return list(dict.fromkeys(reversed(ids)))[:RECEIVED_LIMIT]


def _purchases_ask(searches: Sequence[_Search], block: Header) -> dict[_Search, str]:
    wanted = {int(search.subject) for search in searches}
    first = min(search.first for search in searches)
    bought = _bought(wanted, first=first, last=block.number)
    missing = wanted - bought.keys()
    if missing:
        bought |= _bought(missing, first=address_book().deployed_at_block, last=first - 1)
    return {search: bought.get(int(search.subject), "") for search in searches}


def _bought(licence_ids: set[int], *, first: int, last: int) -> dict[int, str]:
    topics = [abi.event_topic("LicenceMarket", LicenceBought.__name__), [_word(number) for number in licence_ids]]
    logs = _logs_search(topics, first=first, last=last)
    bought = {int(log.topics[1], 16): log.tx_hash for log in logs if len(log.topics) > 1}
    return {licence_id: tx_hash for licence_id, tx_hash in bought.items() if licence_id in licence_ids}


def _logs_search(topics: Topics, *, first: int, last: int) -> list[RawLog]:
    """Logs of the market in the order of the chain, the newest blocks asked for first.

    A page that the node finds too large is halved. After `SEARCH_REQUESTS` requests what is left stays unseen.
    """
    found: list[RawLog] = []
    market, page = [contract_address("LicenceMarket")], last - first + 1
    for _ in range(SEARCH_REQUESTS):
        if last < first:
            break
        start = max(last - page + 1, first)
        try:
            logs = get_gateway().logs_in_range(market, first=start, last=last, topics=topics)
        except RangeTooLarge:
            page = max((last - start + 1) // 2, 1)
            continue
        found, last = [*logs, *found], start - 1
    return [log for log in found if log.topics and log.topics[0] == topics[0]]


def _word(number: int) -> str:
    return f"0x{number:064x}"


def _received_parse(_search: _Search, value: object, _block: Header) -> list[int]:
    return numbers_parse(value)


def _received_dump(licence_ids: list[int]) -> list[str]:
    return [str(number) for number in licence_ids]


_RECEIVED = Fact("received", _received_ask, _received_dump, _received_parse)
_PURCHASES = Fact("purchase", _purchases_ask, str, lambda _search, value, _block: hash_or_empty_parse(value))
