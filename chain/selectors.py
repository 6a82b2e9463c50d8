"""What the apps above may read: the contracts, the state of licences and money, and how far the index is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from chain import abi
from chain.address_book import AddressBook, book_read
from chain.bindings import licence_market, structs
from chain.bindings.base import T, View, views_read, views_require
from chain.bindings.structs import Operator, PlanState, PlanTerms
from chain.demo_market import demo_operator_id
from chain.gateway import get_gateway
from chain.gateway.errors import NodeBehind, NodeUnavailable, Reverted
from chain.gateway.protocol import Header, Receipt
from chain.gateway.reverts import PlanUnknown
from chain.models import BlockHeader, ChainEvent, ParkedLog, RemovedEvent, Stream
from chain.prepared import Prepared

K = TypeVar("K")

# The indexer reports at least every few seconds; silence for longer than this means that it does not run.
SILENCE_LIMIT = timedelta(seconds=30)
# Blocks behind the head at which a page should say so.
LAG_LIMIT = 5
LICENCES_PER_CALL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceState(structs.LicenceState):
    """A licence as `LicenceMarket` states it at one block."""

    licence_id: int
    block_number: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class PlanStatus:
    """A plan's terms, how it sells and what it earned."""

    plan_id: int
    terms: PlanTerms
    state: PlanState


@dataclass(frozen=True, slots=True)
class ModelClock:
    """A model's clock at a block, in unix seconds. It stands since `suspended_at`; 0 where it runs."""

    model_id: int
    clock_at: int
    suspended_at: int


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """What the market's roles have set. A role held by the zero address is nobody's."""

    fee_bps: int
    is_paused: bool
    treasury: str
    guardian: str
    pauser: str
    admin: str


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """How far the read models are. `ok` is false whenever a page should warn its reader.

    `lag` counts blocks from the next block to index to the head as it was last reported, `lag_s` the seconds of block
    time between the newest indexed block and that head. `error_at` is the time of the last error, also of one that is
    over (`last_error_code`).
    """

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
    lag_s: int | None = None
    head_at: datetime | None = None
    last_block_at: datetime | None = None
    error_at: datetime | None = None
    last_error_code: str = ""

    @property
    def silent_s(self) -> int | None:
        """Seconds since the indexer last reported a head."""
        return None if self.seen_at is None else max(int((timezone.now() - self.seen_at).total_seconds()), 0)

    @property
    def head_age_s(self) -> int | None:
        """Seconds since the head's own time."""
        return None if self.head_at is None else max(int((timezone.now() - self.head_at).total_seconds()), 0)


def address_book() -> AddressBook:
    """Raises `AddressBookMissing` and `AddressBookInvalid`."""
    return book_read(settings.ADDRESS_BOOK_DIR, settings.CHAIN_ID)


def contract_address(name: str) -> str:
    """Raises what `address_book` raises, and `UnknownContract`."""
    return address_book().contract(name).address


def contract_abi(name: str) -> list[abi.AbiItem]:
    """Raises `UnknownContract`."""
    return abi.artefact(name).abi


def event_arguments(contract: str, name: str) -> tuple[str, ...]:
    """The names of an event's arguments, in order. Raises `UnknownContract`."""
    return abi.artefact(contract).events[abi.event_topic(contract, name)].order


def licence_states(licence_ids: Iterable[int], *, block_hash: str | None = None) -> dict[int, LicenceState]:
    """Ask the market itself, each time, about licences at one block: the newest, or `block_hash`.

    `chain.entitlements` shares the answers between processes. Unknown ids give a state with `exists` false. Raises
    `NodeBehind` where `block_hash` is not canonical (any more), and whatever the gateway and `address_book` raise.
    """
    ids = list(dict.fromkeys(licence_ids))
    if not ids:
        return {}
    gateway = get_gateway()
    if block_hash is not None:
        return licence_states_at(ids, gateway.header_at(block_hash))
    try:
        return licence_states_at(ids, gateway.header_at(None))
    except NodeBehind:
        # The newest block was replaced between the two requests.
        return licence_states_at(ids, gateway.header_at(None))


def licence_states_at(licence_ids: Sequence[int], block: Header) -> dict[int, LicenceState]:
    """`licence_states` at a block whose header is known: one batch. Raises as `licence_states`."""
    market = licence_market()
    parts = [licence_ids[start : start + LICENCES_PER_CALL] for start in range(0, len(licence_ids), LICENCES_PER_CALL)]
    answers = views_require([market.licence_states(part) for part in parts], block_hash=block.hash)
    states: dict[int, LicenceState] = {}
    for part, rows in zip(parts, answers, strict=True):
        if len(rows) != len(part):
            raise NodeUnavailable(f"The node answered {len(rows)} states of {len(part)} licences.")
        states |= {licence_id: _state(licence_id, row, block) for licence_id, row in zip(part, rows, strict=True)}
    return states


def plan_states(plan_ids: Iterable[int]) -> dict[int, PlanStatus]:
    """Ask the market about plans, in one batch. Unknown ones are left out. Raises what the gateway raises."""
    ids, market = list(dict.fromkeys(plan_ids)), licence_market()
    found: dict[int, PlanStatus] = {}
    answers = views_read([market.plan(plan_id) for plan_id in ids])
    for plan_id, answer in zip(ids, answers, strict=True):
        if isinstance(answer, PlanUnknown):
            continue
        if isinstance(answer, Reverted):
            raise answer
        found[plan_id] = PlanStatus(plan_id, *answer)
    return found


def model_clocks(model_ids: Iterable[int], *, block_hash: str | None = None) -> dict[int, ModelClock]:
    """The clocks of models, now or at a block, in one batch. That of an unknown model is block time."""
    market = licence_market()
    clocks = _asked({model_id: market.model_clock(model_id) for model_id in model_ids}, block_hash=block_hash)
    return {model_id: ModelClock(model_id, clock.clock_at, clock.suspended_at) for model_id, clock in clocks.items()}


def operator_get(operator_id: int) -> Operator | None:
    """The operator, `None` where none was registered under this id."""
    return operators_get([operator_id]).get(operator_id)


def operators_get(operator_ids: Iterable[int]) -> dict[int, Operator]:
    """Operators by id, in one batch. Unknown ones are left out."""
    market = licence_market()
    operators = _asked({operator_id: market.operator(operator_id) for operator_id in operator_ids})
    return {operator_id: operator for operator_id, operator in operators.items() if int(operator.owner, 16)}


def site_operator_id() -> int:
    """Which operator this site is, 0 for none: the setting, in the demo the one that `deploy_contracts` registered."""
    if settings.SITE_OPERATOR_ID or not settings.DEMO or settings.CHAIN_ID not in settings.DEVELOPMENT_CHAIN_IDS:
        return int(settings.SITE_OPERATOR_ID)
    return demo_operator_id(get_gateway(), address_book())


def model_credit(model_id: int, token: str) -> int:
    """What the owner of a model may withdraw now, in the token's smallest unit. Asks the market."""
    return licence_market().credit(model_id, token).read()


def model_credits(credits: Iterable[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """`model_credit` of many pairs of model and token, in one batch."""
    market = licence_market()
    return _asked({(model_id, token): market.credit(model_id, token) for model_id, token in credits})


def account_credits(credits: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """What accounts may withdraw now, by pairs of account and token, in the token's smallest unit, in one batch."""
    market = licence_market()
    return _asked({(account, token): market.account_credit(account, token) for account, token in credits})


def market_settings(*, block_hash: str | None = None) -> MarketSettings:
    """Fee, pause and roles as they are now, or at a block, in one batch."""
    market = licence_market()
    fee, paused = market.fee_bps(), market.paused()
    roles = [market.treasury(), market.guardian(), market.pauser(), market.owner()]
    views: list[View[Any]] = [fee, paused, *roles]
    return MarketSettings(*views_require(views, block_hash=block_hash))


def latest_header() -> Header:
    """The newest block's header: its time is what the contracts would call now."""
    return get_gateway().header_at(None)


def block_hashes(numbers: Iterable[int]) -> dict[int, str]:
    """Hashes of the canonical blocks at these heights, as the node has them now; unknown heights are left out."""
    heights = sorted(set(numbers))
    headers = get_gateway().headers(heights) if heights else []
    return {header.number: header.hash for header in headers if header is not None}


def index_block() -> int:
    """The last block that the index has, 0 while it has none. Reads the database alone."""
    return _last_block.first(chain_id=settings.CHAIN_ID) or 0


@Prepared
def _last_block(chain_id: Any) -> QuerySet[Stream, int | None]:
    return Stream.objects.filter(chain_id=chain_id).values_list("last_block", flat=True)


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
    last_at = _last_block_time(stream)
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
        lag_s=_lag_s(stream, last_at),
        head_at=_moment(stream.head_timestamp),
        last_block_at=_moment(last_at),
        error_at=stream.error_at,
        last_error_code=stream.last_error_code,
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


def removed_events(
    *,
    name: str | None = None,
    tx_hash: str | None = None,
    model_id: int | None = None,
    plan_id: int | None = None,
    licence_id: int | None = None,
) -> QuerySet[RemovedEvent]:
    """Events that a re-org removed and that did not come back, newest removal first, while they are remembered.

    Name what it is about: each of these has an index.
    """
    since = timezone.now() - timedelta(seconds=settings.REMOVED_EVENT_RETENTION_S)
    wanted = {"model_id": model_id, "plan_id": plan_id, "licence_id": licence_id, "name": name}
    given = {field: value for field, value in wanted.items() if value is not None}
    if tx_hash is not None:
        given["tx_hash"] = tx_hash.lower()
    rows = RemovedEvent.objects.filter(chain_id=settings.CHAIN_ID, removed_at__gt=since, **given)
    return rows.order_by("-removed_at", "-id")


def _last_block_time(stream: Stream) -> int | None:
    """The time of the newest indexed block, whose header is always kept."""
    if stream.last_block is None:
        return None
    header = BlockHeader.objects.filter(chain_id=stream.chain_id, number=stream.last_block).first()
    return header.timestamp if header is not None else None


def _lag_s(stream: Stream, last_at: int | None) -> int | None:
    if stream.head_timestamp is None or last_at is None:
        return None
    return max(stream.head_timestamp - last_at, 0)


def _moment(unix_s: int | None) -> datetime | None:
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)


def _asked(views: dict[K, View[T]], *, block_hash: str | None = None) -> dict[K, T]:
    """The answers to many questions, by the same keys."""
    return dict(zip(views, views_require(list(views.values()), block_hash=block_hash), strict=True))


def _state(licence_id: int, row: structs.LicenceState, header: Header) -> LicenceState:
    told = {part.name: getattr(row, part.name) for part in fields(structs.LicenceState)}
    return LicenceState(**told, licence_id=licence_id, block_number=header.number, block_hash=header.hash)
