"""One step of the indexer, and the loop around it. The same step serves live blocks, catching up and indexing again."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event

from django.db import DatabaseError, close_old_connections
from django.utils import timezone
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point

from chain.abi import INDEXED_CONTRACTS
from chain.address_book import AddressBook
from chain.errors import FinalityViolated, HandlerFailed, LeaseLost
from chain.gateway.errors import NodeUnavailable, RangeTooLarge
from chain.gateway.protocol import ChainGateway, Header, Heads, Poll, RawLog, SealedHeader
from chain.gateway.seal import bloom_may_contain
from chain.indexer import store
from chain.indexer.headers import fork_find, linked
from chain.indexer.lease import LEASE_TIME, lease_release, lease_renew, lease_take, owner_identity
from chain.indexer.ranges import RangeSize
from chain.indexer.retry import wait_s
from chain.indexer.scan import logs_scan
from chain.models import Stream

logger = logging.getLogger(__name__)

# Blocks of the window that one round trip asks for: two requests each, within one batch of the gateway.
WINDOW_BLOCKS = 16
RENEW_AFTER = LEASE_TIME / 6
REPORT_AFTER = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did. `caught_up` is true where nothing was left to do, also because another indexer does it."""

    first: int | None = None
    last: int | None = None
    events: int = 0
    removed: int = 0
    caught_up: bool = False
    standby: bool = False


@dataclass
class Indexer:
    """Keeps one chain's events in the database. Not shared between threads; `close` gives the lease back.

    `development` allows it to start again by itself where the whole chain was replaced: development nodes are reset,
    any other chain that does that is broken and a person has to look.
    """

    gateway: ChainGateway
    book: AddressBook
    development: bool = False
    owner: str = field(default_factory=owner_identity)
    _size: RangeSize = field(default_factory=RangeSize)
    _token: int | None = None
    _stream_id: int | None = None

    def step(self) -> Step:
        """Do one unit of work.

        1. Hold the lease, or stand by.
        2. Start again if the contracts of the address book are not those that were indexed.
        3. Ask for the newest block, the newest final one and the next one to index, in one round trip.
        4. If an indexed block is no longer canonical, delete from the fork upward and end the step.
        5. Take the next range of final blocks, or the next blocks of the window by their hashes, and append them.

        Raises the gateway's errors, `FinalityViolated`, `HandlerFailed` and `DatabaseError`.
        """
        stream = self._lease_hold()
        if stream is None:
            return Step(caught_up=True, standby=True)
        try:
            return self._advance(stream)
        except LeaseLost:
            logger.info("Another indexer took over the lease; standing by.")
            self._token = None
            return Step(caught_up=True, standby=True)

    def error_report(self, error: Exception) -> None:
        """Say in the stream's row what went wrong, unless another indexer is at work."""
        store.error_report(chain_id=self.book.chain_id, token=self._token, error=error)

    def close(self) -> None:
        """Let another indexer in at once. Safe to call twice."""
        if self._stream_id is not None and self._token is not None:
            lease_release(self._stream_id, self._token)
            self._token = None

    def _lease_hold(self) -> Stream | None:
        stream, _ = Stream.objects.get_or_create(
            chain_id=self.book.chain_id,
            defaults={"next_block": self.book.deployed_at_block, "contracts_hash": self.book.contracts_hash},
        )
        self._stream_id = stream.pk
        if self._token is not None and self._token == stream.lease_token:
            left = (stream.lease_until or timezone.now()) - timezone.now()
            if left > LEASE_TIME - RENEW_AFTER or lease_renew(stream.pk, self._token):
                return stream
        self._token = lease_take(stream, self.owner)
        if self._token is None:
            return None
        stream.refresh_from_db()
        stream.lease_token = self._token
        return stream

    def _advance(self, stream: Stream) -> Step:
        if stream.contracts_hash != self.book.contracts_hash:
            return Step(removed=self._restart(stream))
        poll = self.gateway.poll(stream.next_block)
        if stream.last_block is None:
            store.genesis_set(stream=stream, genesis_hash=self._header(0).hash)
        elif not self._still_canonical(stream, poll):
            return Step(removed=self._branch_undo(stream, poll.heads))
        if poll.next is None:
            self._report(stream, poll.heads)
            return Step(caught_up=True)
        if stream.next_block <= poll.heads.finalized_number:
            return self._range_append(stream, poll.heads)
        return self._window_append(stream, poll.heads, poll.next)

    def _still_canonical(self, stream: Stream, poll: Poll) -> bool:
        """Whether the last indexed block is. Mostly the poll tells: the next block names it, or it is the newest."""
        if stream.last_block is None or stream.last_hash == poll.heads.latest.hash:
            return True
        if poll.next is not None and poll.next.parent_hash == stream.last_hash:
            return True
        (last,) = self.gateway.headers([stream.last_block])
        return last is not None and last.hash == stream.last_hash

    def _branch_undo(self, stream: Stream, heads: Heads) -> int:
        """Delete what is no longer canonical; returns how many events that were.

        A chain that was replaced as a whole shows at block 0, also while it is shorter than what was indexed.
        """
        if self._header(0).hash != stream.genesis_hash:
            return self._replaced(stream, "The node serves another chain with the same id: block 0 differs.")
        stored = store.stored_headers(stream.chain_id)
        numbers = [header.number for header in stored]
        canonical = dict(zip(numbers, self.gateway.headers(numbers), strict=True))
        # A development node that was killed comes back without its last blocks; it does not lag behind any other.
        fork = fork_find(stored, canonical, may_lag=not self.development)
        if fork is None:
            return 0
        if fork.ancestor is None:
            return self._replaced(stream, f"Block {stored[0].number} was final and is no longer part of the chain.")
        removed = store.blocks_remove(stream=stream, ancestor=fork.ancestor, heads=heads)
        logger.warning("A re-org replaced the blocks above %d; it removed %d events.", fork.ancestor.number, removed)
        return removed

    def _replaced(self, stream: Stream, message: str) -> int:
        if not self.development:
            raise FinalityViolated(f"{message} Check the node, then run `manage.py reindex`.")
        logger.warning("%s This is a development chain: indexing starts again.", message)
        return self._restart(stream)

    def _restart(self, stream: Stream) -> int:
        return store.stream_reset(
            stream=stream, first_block=self.book.deployed_at_block, contracts_hash=self.book.contracts_hash
        )

    def _range_append(self, stream: Stream, heads: Heads) -> Step:
        first = stream.next_block
        while True:
            last = self._size.last_block(first, heads.finalized_number)
            try:
                logs = self.gateway.logs_in_range(list(self._contracts), first=first, last=last)
                break
            except RangeTooLarge as error:
                if not self._size.shrink(last - first + 1):
                    raise NodeUnavailable(
                        f"The node refuses the logs of block {first} alone: {error.message}"
                    ) from error
        fault_point("indexer.logs_fetched")
        headers = self._headers_of(logs, first, last)
        if stream.last_hash and headers[first].parent_hash != stream.last_hash:
            raise NodeUnavailable(
                f"Block {first} does not follow the block before it; the node may be changing branches."
            )
        scanned = logs_scan(logs, headers=headers, contracts=self._contracts)
        try:
            store.blocks_append(stream=stream, last=headers[last], logs=scanned, heads=heads)
        except HandlerFailed:
            if first == last:
                raise
            # Shorter ranges come to stand right before the block with the event that cannot be handled.
            self._size.blocks = (last - first + 1) // 2
            return Step()
        self._size.adapt(last - first + 1, len(logs))
        fault_point("indexer.between_blocks")
        return Step(first=first, last=last, events=len(logs))

    def _headers_of(self, logs: list[RawLog], first: int, last: int) -> dict[int, Header]:
        """The headers of all blocks with logs, of `first` and of `last`, checked to be those that the logs name."""
        numbers = sorted({log.block_number for log in logs} | {first, last})
        found = dict(zip(numbers, self.gateway.headers(numbers), strict=True))
        headers: dict[int, Header] = {number: header for number, header in found.items() if header is not None}
        for log in logs:
            header = headers.get(log.block_number)
            if header is None or header.hash != log.block_hash:
                raise NodeUnavailable(f"The node's logs and headers disagree about block {log.block_number}.")
        for number in (first, last):
            if number not in headers:
                raise NodeUnavailable(f"The node has no header for block {number}, which it called final.")
        return headers

    def _window_append(self, stream: Stream, heads: Heads, following: SealedHeader) -> Step:
        first = stream.next_block
        last = min(first + WINDOW_BLOCKS - 1, heads.latest.number)
        more = self.gateway.headers(range(first + 1, last + 1)) if last > first else []
        headers = linked(stream.last_hash or None, [following, *more])
        events = 0
        for header, logs in zip(headers, self._logs_of(headers), strict=True):
            if any(log.block_number != header.number for log in logs):
                raise NodeUnavailable(f"The node's logs name another height than block {header.number}.")
            scanned = logs_scan(logs, headers={header.number: header}, contracts=self._contracts)
            store.blocks_append(stream=stream, last=header, logs=scanned, heads=heads)
            fault_point("indexer.between_blocks")
            events += len(logs)
        done = headers[-1].number if headers else None
        at_head = done is None or done == heads.latest.number
        return Step(first=first if headers else None, last=done, events=events, caught_up=at_head)

    def _logs_of(self, headers: Sequence[SealedHeader]) -> list[list[RawLog]]:
        """The logs of each block. A block whose proven bloom has none of the contracts in it is not asked for."""
        contracts = list(self._contracts)
        asked = [header.hash for header in headers if _may_hold(header, contracts)]
        found = dict(zip(asked, self.gateway.logs_by_hash(contracts, block_hashes=asked), strict=True)) if asked else {}
        fault_point("indexer.logs_fetched")
        return [found.get(header.hash, []) for header in headers]

    def _report(self, stream: Stream, heads: Heads) -> None:
        fresh = stream.seen_at is not None and timezone.now() - stream.seen_at < REPORT_AFTER
        if not fresh or stream.error_code or stream.head_block != heads.latest.number:
            store.heads_report(stream=stream, heads=heads)

    def _header(self, number: int) -> Header:
        (header,) = self.gateway.headers([number])
        if header is None:
            raise NodeUnavailable(f"The node has no block {number}.")
        return header

    @property
    def _contracts(self) -> dict[str, str]:
        """Lower-case addresses and names of the contracts whose events are kept."""
        return {entry.address.lower(): name for name, entry in self.book.contracts.items() if name in INDEXED_CONTRACTS}


def _may_hold(header: SealedHeader, contracts: Sequence[str]) -> bool:
    bloom = header.logs_bloom
    return bloom is None or any(bloom_may_contain(bloom, address) for address in contracts)


def index_to_head(indexer: Indexer, *, limit: int = 1_000_000, progress: Callable[[Step], None] | None = None) -> int:
    """Step until nothing is left to do; returns the number of events added. `progress` is told of each step.

    Raises `LeaseLost` where another indexer is at work, and what `Indexer.step` raises.
    """
    events = 0
    for _ in range(limit):
        step = indexer.step()
        if step.standby:
            raise LeaseLost("Another indexer is at work on this chain.")
        events += step.events
        if progress is not None:
            progress(step)
        if step.caught_up:
            return events
    raise NodeUnavailable("The chain grows faster than it can be indexed.")


def index_forever(
    make: Callable[[], Indexer], *, chain_id: int, stop: Event, poll_s: float, wake: Event | None = None
) -> None:
    """Step until `stop` is set, whatever happens to the node, the contracts or the database.

    `wake` ends the pause between two looks at the head; the pause after an error is kept. `make` builds the indexer,
    and builds it anew after an error: the address book may have been replaced. The lease is given back after each
    error, since another machine may reach what this one does not.
    """
    indexer: Indexer | None = None
    failures = 0
    while not stop.is_set():
        if wake is not None:
            wake.clear()
        try:
            indexer = indexer or make()
            step = indexer.step()
            failures = 0
            pause = poll_s if step.caught_up else 0.0
        except (WeighhouseError, DatabaseError) as error:
            failures += 1
            pause = wait_s(error, failures=failures, poll_s=poll_s)
            _failure_log(error, failures=failures, pause=pause)
            _failure_tell(indexer, error, chain_id=chain_id)
            indexer = None
        (stop if wake is None or failures else wake).wait(pause)
    if indexer is not None:
        indexer.close()


def _failure_log(error: Exception, *, failures: int, pause: float) -> None:
    # A node that stays away for an hour is one line a minute at most, not seven thousand.
    level = logging.WARNING if failures <= 3 or failures % 20 == 0 else logging.DEBUG
    trace = error if isinstance(error, DatabaseError) or error.__cause__ is not None else None
    logger.log(level, "Indexing stopped: %s. Trying again in %.1f s.", error, pause, exc_info=trace)


def _failure_tell(indexer: Indexer | None, error: Exception, *, chain_id: int) -> None:
    try:
        if isinstance(error, DatabaseError):
            close_old_connections()
        if indexer is None:
            store.error_report(chain_id=chain_id, token=None, error=error)
        else:
            indexer.error_report(error)
            indexer.close()
    except DatabaseError:
        logger.exception("The database does not take the report either.")
