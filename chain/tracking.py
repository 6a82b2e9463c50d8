"""What became of transactions that users sent: asked of the chain, nothing remembered here.

A caller says what it knows of each transaction (`Sought`) and learns its fate (`Finding`). Only standard JSON-RPC is
used. A node's silence is no fate: where no node answers, the gateway's error is raised; where a node contradicts
itself, lags, or answers something malformed about one transaction, that one has no finding this time.

What the index reads decides what a transaction *did*. A fate says where the transaction itself is.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from chain.gateway import get_gateway
from chain.gateway.errors import ChainError, NodeUnavailable, Reverted
from chain.gateway.parse import bytes_parse, header_parse, number_parse, position_parse, receipt_parse
from chain.gateway.protocol import ChainGateway, Header, Receipt
from chain.nonces import transaction_at_nonce
from chain.sent import Place, SentTransaction, sent_parse
from chain.transactions import refusal_reason, rerun

logger = logging.getLogger(__name__)

# How long a node may take to hear of a transaction that a wallet gave to another one, and how long one that it has
# forgotten may still come back to it, in seconds.
UNHEARD_AFTER_S = 120
# Searches by nonce of one round, each of some batches and a whole block.
SEARCHES_MAX = 5


class Fate(StrEnum):
    """Where a transaction is. None is for ever: a later question may find another."""

    # Nothing can be said yet.
    WAITING = "waiting"
    # A node has it, and no block does.
    PENDING = "pending"
    MINED = "mined"
    # In a block, where it failed.
    REVERTED = "reverted"
    # Another transaction used its nonce. A cancel is one that sends nothing to oneself.
    REPLACED = "replaced"
    CANCELLED = "cancelled"
    # The node had it and has forgotten it, and its nonce is free.
    DROPPED = "dropped"
    # It was in a block that another block has replaced, and is in none now.
    REORGED = "reorged"
    # The node never heard of it, or cannot tell what used its nonce.
    UNKNOWN = "unknown"
    # Sought without a hash: no transaction has used the nonce, or this one did.
    FREE = "free"
    FOUND = "found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What is known of a transaction.

    `sender` and `nonce` are those of the transaction itself, `nonce` is None where it must not be followed by one (a
    bundler sent it). `first_block` was the newest block when it was noted. `call_hash`, `was_known`, `was_in` and
    `replaced_by` are what earlier findings told. `unheard_s` is for how many seconds no node has known it.
    `is_reason_known` saves the reading of a revert's reason once more.
    """

    tx_hash: str | None
    sender: str
    nonce: int | None
    first_block: int | None = None
    call_hash: str = ""
    was_known: bool = False
    was_in: Place | None = None
    replaced_by: str | None = None
    unheard_s: float = 0
    is_reason_known: bool = False

    @property
    def is_overdue(self) -> bool:
        return self.unheard_s >= UNHEARD_AFTER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`transaction` is the one sought, where the node has it; `other` the one that used its nonce.

    `is_same_call` says that the other does the same (a speed-up). `place` is its block. `refusal` is the contract's
    typed error of a reverted one, `reason` the same in words.
    """

    fate: Fate
    transaction: SentTransaction | None = None
    other: SentTransaction | None = None
    is_same_call: bool = False
    place: Place | None = None
    refusal: Reverted | None = None
    reason: str = ""


@dataclass(slots=True)
class Searches:
    """How many searches by nonce one round may still make, and for which transactions it made one.

    A sender has one a round, so that nobody's made-up hashes take them all.
    """

    left: int = SEARCHES_MAX
    made: list[Sought] = field(default_factory=list)

    def take(self, sought: Sought) -> bool:
        """Whether this transaction may be searched for; then it counts as searched."""
        if self.left <= 0 or any(sought.sender == other.sender for other in self.made):
            return False
        self.left -= 1
        self.made.append(sought)
        return True


@dataclass(slots=True)
class _Told:
    """A node's answers about one transaction, parsed."""

    receipt: Receipt | None = None
    transaction: SentTransaction | None = None
    replacing: SentTransaction | None = None
    count: int = 0
    pending_count: int = 0
    has_code: bool = False


@dataclass
class _Round:
    gateway: ChainGateway
    head: Header
    searches: Searches
    # The canonical blocks at the heights that matter.
    hashes: dict[int, str] = field(default_factory=dict)


def fates(
    soughts: Sequence[Sought], *, searches: Searches | None = None, gateway: ChainGateway | None = None
) -> list[Finding | None]:
    """The fate of each, `None` where nothing can be concluded now: a node's answers do not fit, or no search was left.

    1. One batch asks for receipts, transactions, counts of the senders and the newest block.
    2. A second one asks which blocks are canonical at the heights of the receipts, and of blocks that held one before.
    3. What is in a canonical block is mined or reverted. What used the nonce of one that is in none is searched for,
       in the order of `soughts`, as far as `searches` allows.
    4. A last batch runs the reverted ones again, for their reasons.

    Raises the gateway's errors where no node answers.
    """
    if not soughts:
        return []
    gateway = gateway or get_gateway()
    head, told = _ask(gateway, soughts)
    asked = _Round(gateway, head, searches or Searches(), _hashes_at(gateway, _heights(soughts, told)))
    found = [_found(asked, sought, answers) for sought, answers in zip(soughts, told, strict=True)]
    return _with_reasons(gateway, soughts, found)


def _calls(sought: Sought) -> dict[str, tuple[str, list[Any]]]:
    """The questions about one transaction, by the member of `_Told` that they fill."""
    calls: dict[str, tuple[str, list[Any]]] = {"count": ("eth_getTransactionCount", [sought.sender, "latest"])}
    if sought.tx_hash is not None:
        calls["receipt"] = ("eth_getTransactionReceipt", [sought.tx_hash])
        calls["transaction"] = ("eth_getTransactionByHash", [sought.tx_hash])
    else:
        calls["pending_count"] = ("eth_getTransactionCount", [sought.sender, "pending"])
        calls["has_code"] = ("eth_getCode", [sought.sender, "latest"])
    if sought.replaced_by is not None:
        calls["replacing"] = ("eth_getTransactionByHash", [sought.replaced_by])
    return calls


def _ask(gateway: ChainGateway, soughts: Sequence[Sought]) -> tuple[Header, list[_Told | None]]:
    wanted = [_calls(sought) for sought in soughts]
    flat = [("eth_getBlockByNumber", ["latest", False]), *(call for calls in wanted for call in calls.values())]
    answers = iter(gateway.request_many(flat))
    head = next(answers)
    if isinstance(head, ChainError):
        raise head
    told = [
        _told(sought, {name: next(answers) for name in calls}) for sought, calls in zip(soughts, wanted, strict=True)
    ]
    return header_parse(head), told


def _told(sought: Sought, answers: dict[str, Any]) -> _Told | None:
    """The answers of the right form about this very transaction; `None` where one is anything else."""
    try:
        for answer in answers.values():
            if isinstance(answer, ChainError):
                raise answer
        given = {name: answer for name, answer in answers.items() if answer is not None}
        told = _Told(count=number_parse(given.get("count")))
        told.pending_count = number_parse(given.get("pending_count", "0x0"))
        if "receipt" in given:
            told.receipt = receipt_parse(given["receipt"])
        if "transaction" in given:
            told.transaction = sent_parse(given["transaction"])
        if "replacing" in given:
            told.replacing = sent_parse(given["replacing"])
        told.has_code = bool(bytes_parse(given.get("has_code", "0x")))
        if {part.tx_hash for part in (told.receipt, told.transaction) if part} - {sought.tx_hash}:
            raise NodeUnavailable("The node answered about another transaction than the one asked for.")
    except ChainError as error:
        logger.info("A node's answers about transaction %s say nothing: %s", sought.tx_hash, error.message)
        return None
    return told


def _heights(soughts: Sequence[Sought], told: Sequence[_Told | None]) -> set[int]:
    heights = {sought.was_in.number for sought in soughts if sought.was_in is not None}
    for answers in told:
        if answers and answers.receipt:
            heights.add(answers.receipt.block_number)
        if answers and answers.replacing and answers.replacing.place:
            heights.add(answers.replacing.place.number)
    return heights


def _hashes_at(gateway: ChainGateway, heights: set[int]) -> dict[int, str]:
    """Hashes of the canonical blocks at these heights; those that the node does not have are left out."""
    numbers = sorted(heights)
    hashes: dict[int, str] = {}
    answers = gateway.request_many([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
    for number, answer in zip(numbers, answers, strict=True):
        try:
            header = None if answer is None or isinstance(answer, ChainError) else header_parse(answer)
        except ChainError:
            continue
        if header is not None and header.number == number:
            hashes[number] = header.hash
    return hashes


def _found(asked: _Round, sought: Sought, told: _Told | None) -> Finding | None:
    if told is None:
        return None
    if told.receipt is not None:
        return _in_block(asked, told, told.receipt)
    own = told.transaction
    if own is not None and own.place is not None:
        # In a block, and no receipt: the node is between two blocks.
        return None
    nonce, is_own = (sought.nonce, True) if own is None else (own.nonce, own.sender == sought.sender)
    if is_own and nonce is not None and told.count > nonce:
        return _by_nonce(asked, sought, nonce, told)
    return _in_no_block(asked, sought, told)


def _in_no_block(asked: _Round, sought: Sought, told: _Told) -> Finding | None:
    """No block holds it, and its nonce, if it may be followed by one, is free."""
    own = told.transaction
    if sought.was_in is not None:
        return _out_of_block(asked, sought.was_in, own)
    is_waiting = sought.tx_hash is None and sought.nonce is not None and told.pending_count > sought.nonce
    if own is not None or is_waiting:
        return Finding(fate=Fate.PENDING, transaction=own)
    return _unheard(sought, told)


def _in_block(asked: _Round, told: _Told, receipt: Receipt) -> Finding | None:
    if asked.hashes.get(receipt.block_number) != receipt.block_hash:
        return None
    fate = Fate.MINED if receipt.succeeded else Fate.REVERTED
    return Finding(fate=fate, transaction=told.transaction, place=Place(receipt.block_number, receipt.block_hash))


def _out_of_block(asked: _Round, was_in: Place, own: SentTransaction | None) -> Finding | None:
    """A chain that is shorter may be a node that lags: only another block at that height says that ours is gone."""
    if asked.hashes.get(was_in.number) in (None, was_in.hash):
        return None
    return Finding(fate=Fate.REORGED, transaction=own)


def _unheard(sought: Sought, told: _Told) -> Finding:
    if sought.tx_hash is None and not told.has_code:
        return Finding(fate=Fate.FREE)
    if not sought.is_overdue:
        return Finding(fate=Fate.WAITING)
    if sought.was_known and sought.nonce is not None:
        return Finding(fate=Fate.DROPPED)
    # The nonce of an account with code (a smart account) says nothing: a bundler's is used.
    return Finding(fate=Fate.UNKNOWN)


def _by_nonce(asked: _Round, sought: Sought, nonce: int, told: _Told) -> Finding | None:
    """The nonce was used, and not by the transaction that was asked for."""
    other = _still_replacing(asked, sought, nonce, told)
    if other is None:
        if not asked.searches.take(sought):
            return None
        try:
            other = _searched(asked, sought, nonce)
        except ChainError as error:
            logger.info("Nonce %s of %s cannot be searched for now: %s", nonce, sought.sender, error.message)
            return None
    if other is None:
        return Finding(fate=Fate.UNKNOWN if sought.is_overdue else Fate.WAITING)
    return _used_by(other, sought, told)


def _used_by(other: SentTransaction, sought: Sought, told: _Told) -> Finding | None:
    if sought.tx_hash is None:
        return Finding(fate=Fate.FOUND, transaction=other, place=other.place)
    if other.tx_hash == sought.tx_hash:
        # Its receipt is on the way.
        return None
    if other.is_cancel:
        return Finding(fate=Fate.CANCELLED, other=other, place=other.place)
    call_hash = told.transaction.call_hash if told.transaction else sought.call_hash
    return Finding(fate=Fate.REPLACED, other=other, is_same_call=call_hash == other.call_hash, place=other.place)


def _still_replacing(asked: _Round, sought: Sought, nonce: int, told: _Told) -> SentTransaction | None:
    """The replacement that was found before, if it is in a canonical block."""
    other = told.replacing
    if other is None or other.place is None or asked.hashes.get(other.place.number) != other.place.hash:
        return None
    is_it = (other.tx_hash, other.sender, other.nonce) == (sought.replaced_by, sought.sender, nonce)
    return other if is_it else None


def _searched(asked: _Round, sought: Sought, nonce: int) -> SentTransaction | None:
    first, last = sought.first_block or 0, asked.head.number
    return transaction_at_nonce(asked.gateway, sought.sender, nonce, first=first, last=last)


def _with_reasons(
    gateway: ChainGateway, soughts: Sequence[Sought], found: list[Finding | None]
) -> list[Finding | None]:
    """The findings, those of reverted transactions with the contract's reason."""
    unread: dict[int, tuple[str, list[Any]]] = {}
    for place, (sought, finding) in enumerate(zip(soughts, found, strict=True)):
        is_reverted = finding is not None and finding.fate == Fate.REVERTED and not sought.is_reason_known
        if finding is not None and is_reverted and finding.transaction and finding.place:
            unread[place] = rerun(finding.transaction, finding.place.number)
    for place, answer in zip(unread, gateway.request_many(list(unread.values())), strict=True):
        refusal = answer if isinstance(answer, Reverted) else None
        found[place] = replace(_certain(found[place]), refusal=refusal, reason=refusal_reason(answer))
    return found


def _certain(finding: Finding | None) -> Finding:
    if finding is None:
        raise ValueError("only what was found has a reason")
    return finding


def next_nonce(sender: str, *, gateway: ChainGateway | None = None) -> tuple[int, int]:
    """The nonce that a wallet of the account will use next, its waiting transactions counted, and the newest block."""
    calls: list[tuple[str, list[Any]]] = [
        ("eth_getTransactionCount", [sender, "pending"]),
        ("eth_getBlockByNumber", ["latest", False]),
    ]
    count, head = (gateway or get_gateway()).request_many(calls)
    for answer in (count, head):
        if isinstance(answer, ChainError):
            raise answer
    return position_parse(count, "nonce"), header_parse(head).number


def transactions_get(tx_hashes: Sequence[str], *, gateway: ChainGateway | None = None) -> dict[str, SentTransaction]:
    """Transactions by hash, in one batch. What a node does not know, or tells of in no form, is left out."""
    answers = (gateway or get_gateway()).request_many([("eth_getTransactionByHash", [each]) for each in tx_hashes])
    found: dict[str, SentTransaction] = {}
    for tx_hash, answer in zip(tx_hashes, answers, strict=True):
        try:
            sent = None if answer is None or isinstance(answer, ChainError) else sent_parse(answer)
        except ChainError:
            continue
        if sent is not None and sent.tx_hash == tx_hash:
            found[tx_hash] = sent
    return found


def accounts_with_code(accounts: Sequence[str], *, gateway: ChainGateway | None = None) -> set[str]:
    """Those that are contracts, or act through one (EIP-7702): a bundler may send what they do (ERC-4337)."""
    answers = (gateway or get_gateway()).request_many([("eth_getCode", [each, "latest"]) for each in accounts])
    told = zip(accounts, answers, strict=True)
    return {account for account, answer in told if not isinstance(answer, ChainError) and bytes_parse(answer)}
