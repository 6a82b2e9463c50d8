"""What the apps above may read: the contracts, the state of licences and money, and how far the index is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from chain import abi
from chain.address_book import AddressBook, book_read
from chain.gateway import get_gateway
from chain.gateway.errors import NodeBehind
from chain.gateway.protocol import Receipt
from chain.models import ChainEvent, ParkedLog, Stream

# The indexer reports at least every few seconds; silence for longer than this means that it does not run.
SILENCE_LIMIT = timedelta(seconds=30)
# Blocks behind the head at which a page should say so.
LAG_LIMIT = 5
LICENCES_PER_CALL = 200
# How far back a purchase is looked for that the index does not have yet.
RECENT_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class LicenceState:
    """A licence as `LicenceMarket` states it at one block. `expires_at` is in unix seconds, 0 for a perpetual one."""

    licence_id: int
    exists: bool
    owner: str
    plan_id: int
    model_id: int
    expires_at: int
    calls: int
    flags: int
    is_valid: bool
    block_number: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """How far the read models are. `lag` is in blocks. `ok` is false whenever a page should warn its reader."""

    chain_id: int
    head: int | None
    finalized: int | None
    next_block: int | None
    lag: int | None
    seen_at: datetime | None
    parked_logs: int
    error_code: str
    error_message: str
    ok: bool


def address_book() -> AddressBook:
    """Raises `AddressBookMissing` and `AddressBookInvalid`."""
    return book_read(settings.ADDRESS_BOOK_DIR, settings.CHAIN_ID)


def contract_address(name: str) -> str:
    """Raises what `address_book` raises, and `UnknownContract`."""
    return address_book().contract(name).address


def contract_abi(name: str) -> list[abi.AbiItem]:
    """Raises `UnknownContract`."""
    return abi.artefact(name).abi


def licence_states(licence_ids: Iterable[int], *, block_hash: str | None = None) -> dict[int, LicenceState]:
    """Ask the market itself, not the read model, about licences at one block: the newest, or `block_hash`.

    Unknown ids give a state with `exists` false. Raises `NodeBehind` where `block_hash` is not canonical (any more),
    and whatever the gateway and `address_book` raise.
    """
    ids = list(dict.fromkeys(licence_ids))
    if not ids:
        return {}
    if block_hash is not None:
        return _licence_states_at(ids, block_hash)
    try:
        return _licence_states_at(ids, None)
    except NodeBehind:
        # The newest block was replaced between the two requests.
        return _licence_states_at(ids, None)


def model_credit(model_id: int, token: str) -> int:
    """What the owner of a model may withdraw now, in the token's smallest unit. Asks the market."""
    return contract_read("LicenceMarket", "credit", [model_id, token])


def model_credits(credits: Iterable[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """`model_credit` of many pairs of model and token, in one batch of requests."""
    pairs = list(dict.fromkeys(credits))
    if not pairs:
        return {}
    calls = [abi.call_encode("LicenceMarket", "credit", list(pair)) for pair in pairs]
    answers = get_gateway().call_many(contract_address("LicenceMarket"), calls)
    values = [int(abi.result_decode("LicenceMarket", "credit", answer)[0]) for answer in answers]
    return dict(zip(pairs, values, strict=True))


def block_hashes(numbers: Iterable[int]) -> dict[int, str]:
    """Hashes of the canonical blocks at these heights, as the node has them now; unknown heights are left out."""
    heights = sorted(set(numbers))
    headers = get_gateway().headers(heights) if heights else []
    return {header.number: header.hash for header in headers if header is not None}


def purchase_hashes_recent(licence_ids: Iterable[int]) -> dict[int, str]:
    """Transactions of the newest `RECENT_BLOCKS` blocks in which these licences were bought. Asks the node's logs."""
    wanted = set(licence_ids)
    if not wanted:
        return {}
    gateway = get_gateway()
    head = gateway.header_at(None).number
    first = max(head - RECENT_BLOCKS + 1, 0)
    bought: dict[int, str] = {}
    for log in gateway.logs_in_range([contract_address("LicenceMarket")], first=first, last=head):
        event = abi.artefact("LicenceMarket").events.get(log.topics[0] if log.topics else "")
        if event is not None and event.name == "LicenceBought" and (licence_id := int(log.topics[1], 16)) in wanted:
            bought[licence_id] = log.tx_hash
    return bought


def contract_read(contract: str, function: str, args: Sequence[object] = ()) -> int:
    """The one integer that a view returns at the newest block."""
    data = abi.call_encode(contract, function, list(args))
    answer = get_gateway().call(contract_address(contract), data)
    return int(abi.result_decode(contract, function, answer)[0])


def transaction_receipt(tx_hash: str) -> Receipt | None:
    """The receipt of a transaction, `None` while it is in no block. For showing progress only: the index decides."""
    return get_gateway().receipt(tx_hash)


def chain_status() -> ChainStatus:
    """Read from the database alone, so that pages answer while the node is down."""
    stream = Stream.objects.filter(chain_id=settings.CHAIN_ID).first()
    if stream is None:
        message = "The chain has not been indexed yet. Start `manage.py index_chain`."
        return ChainStatus(settings.CHAIN_ID, None, None, None, None, None, 0, "chain.not_indexed", message, ok=False)
    parked = ParkedLog.objects.filter(chain_id=settings.CHAIN_ID).count()
    lag = None if stream.head_block is None else max(stream.head_block + 1 - stream.next_block, 0)
    code, message = stream.error_code, stream.error_message
    if not code and (stream.seen_at is None or stream.seen_at < timezone.now() - SILENCE_LIMIT):
        code, message = "chain.indexer_silent", "The indexer has not reported for a while. Is `index_chain` running?"
    return ChainStatus(
        chain_id=stream.chain_id,
        head=stream.head_block,
        finalized=stream.finalized_block,
        next_block=stream.next_block,
        lag=lag,
        seen_at=stream.seen_at,
        parked_logs=parked,
        error_code=code,
        error_message=message,
        ok=not code and not parked and lag is not None and lag <= LAG_LIMIT,
    )


def event_list(
    *, contract: str | None = None, name: str | None = None, tx_hash: str | None = None, after_id: int = 0
) -> QuerySet[ChainEvent]:
    """Indexed events of the site's chain, oldest first."""
    events = ChainEvent.objects.filter(chain_id=settings.CHAIN_ID, id__gt=after_id).order_by("id")
    if contract is not None:
        events = events.filter(contract=contract)
    if name is not None:
        events = events.filter(name=name)
    if tx_hash is not None:
        events = events.filter(tx_hash=tx_hash.lower())
    return events


def _licence_states_at(ids: list[int], block_hash: str | None) -> dict[int, LicenceState]:
    gateway = get_gateway()
    market = contract_address("LicenceMarket")
    header = gateway.header_at(block_hash)
    states: dict[int, LicenceState] = {}
    for start in range(0, len(ids), LICENCES_PER_CALL):
        part = ids[start : start + LICENCES_PER_CALL]
        data = abi.call_encode("LicenceMarket", "licenceStates", [part])
        answer = gateway.call(market, data, block_hash=header.hash)
        (rows,) = abi.result_decode("LicenceMarket", "licenceStates", answer)
        for licence_id, row in zip(part, rows, strict=True):
            states[licence_id] = LicenceState(
                licence_id=licence_id,
                exists=row["exists"],
                owner=row["owner"],
                plan_id=row["planId"],
                model_id=row["modelId"],
                expires_at=row["expiry"],
                calls=row["calls"],
                flags=row["flags"],
                is_valid=row["valid"],
                block_number=header.number,
                block_hash=header.hash,
            )
    return states
