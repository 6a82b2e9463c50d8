"""The indexer's writes. Each is one transaction that begins by checking the lease's token on the stream's row.

On PostgreSQL that first UPDATE locks the row until the commit; on SQLite transactions begin IMMEDIATE. So a holder that
was replaced finds out before it wrote anything, and nobody can take over in the middle.
"""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point

from chain import handlers
from chain.abi import checksum
from chain.bulk import rows_insert, rows_insert_keyed
from chain.errors import LeaseLost
from chain.gateway.protocol import Header, Heads
from chain.handlers import IndexedEvent
from chain.indexer import removed as graveyard
from chain.indexer.scan import ScannedLog, args_json
from chain.models import BlockHeader, ChainEvent, ParkedLog, Stream


def blocks_append(*, stream: Stream, last: Header, logs: Sequence[ScannedLog], heads: Heads) -> None:
    """Add the events up to and including block `last` and move the cursor behind it, all or nothing.

    `stream` is updated to what was written. Raises `LeaseLost` and `HandlerFailed`.
    """
    with transaction.atomic():
        _cursor_move(stream, next_block=last.number + 1, last=last, heads=heads)
        fault_point("indexer.cursor_moved")
        _logs_store(stream.chain_id, logs)
        if not handlers.is_rebuilding():
            graveyard.events_return(stream.chain_id, (log.raw.tx_hash for log in logs))
        fault_point("indexer.logs_stored")
        _header_store(stream.chain_id, last, heads)
        fault_point("indexer.in_block")
    _stream_refresh(stream)


def blocks_remove(*, stream: Stream, ancestor: Header, heads: Heads) -> int:
    """Delete everything above block `ancestor` and move the cursor behind it. Returns how many events went."""
    with transaction.atomic():
        _cursor_move(stream, next_block=ancestor.number + 1, last=ancestor, heads=heads)
        fault_point("indexer.cursor_moved_back")
        removed = _rows_delete(stream.chain_id, above=ancestor.number, remember=True)
        fault_point("indexer.rows_deleted")
    _stream_refresh(stream)
    return removed


def stream_reset(*, stream: Stream, first_block: int, contracts_hash: str) -> int:
    """Forget all that was indexed and start again at `first_block`. Returns how many events went."""
    with transaction.atomic():
        _stream_update(
            stream,
            next_block=first_block,
            last_block=None,
            last_hash="",
            contracts_hash=contracts_hash,
            genesis_hash="",
        )
        removed = _rows_delete(stream.chain_id, above=-1)
        if not handlers.is_rebuilding():
            graveyard.events_forget(stream.chain_id)
    _stream_refresh(stream)
    return removed


def genesis_set(*, stream: Stream, genesis_hash: str) -> None:
    """Remember which chain this is, before its first block is indexed."""
    if stream.genesis_hash != genesis_hash:
        _stream_update(stream, genesis_hash=genesis_hash)
        _stream_refresh(stream)


def heads_report(*, stream: Stream, heads: Heads) -> None:
    """Say that the node answered and how far it is. Raises `LeaseLost`."""
    _stream_update(stream, **_healthy(heads))
    _stream_refresh(stream)


def error_report(*, chain_id: int, token: int | None, error: Exception) -> None:
    """Say what stopped the stream, for `chain_status`. Without effect where another indexer holds the lease.

    `token` is None for an indexer that never came as far as to hold it.
    """
    code, message = "internal", "The indexer failed; its log has the reason."
    if isinstance(error, WeighhouseError):
        code, message = error.code, error.message
    stream, _ = Stream.objects.get_or_create(chain_id=chain_id, defaults={"next_block": 0})
    mine = Q(lease_owner="") if token is None else Q(lease_token=token)
    Stream.objects.filter(mine, pk=stream.pk).update(
        error_code=code, error_message=message, error_at=timezone.now(), last_error_code=code
    )


def stored_headers(chain_id: int) -> list[Header]:
    """The headers of the window, oldest first."""
    rows = BlockHeader.objects.filter(chain_id=chain_id).order_by("number")
    return [Header(row.number, row.hash, row.parent_hash, row.timestamp) for row in rows]


def _cursor_move(stream: Stream, *, next_block: int, last: Header, heads: Heads) -> None:
    _stream_update(stream, next_block=next_block, last_block=last.number, last_hash=last.hash, **_healthy(heads))


def _stream_update(stream: Stream, **values: Any) -> None:
    # The old cursor is part of the condition: a step that was computed from another state changes nothing.
    current = Stream.objects.filter(
        pk=stream.pk, lease_token=stream.lease_token, next_block=stream.next_block, last_hash=stream.last_hash
    )
    if current.update(**values) != 1:
        raise LeaseLost("Another indexer took over; this one stands by.")


def _healthy(heads: Heads) -> dict[str, Any]:
    return {
        "head_block": heads.latest.number,
        "head_timestamp": heads.latest.timestamp,
        "finalized_block": heads.finalized_number,
        "seen_at": timezone.now(),
        "error_code": "",
        "error_message": "",
    }


def _stream_refresh(stream: Stream) -> None:
    token = stream.lease_token
    stream.refresh_from_db()
    # If somebody took over since, the next write must still fail.
    stream.lease_token = token


def _rows_delete(chain_id: int, *, above: int, remember: bool = False) -> int:
    """`remember` what a re-org removes; what is about to be indexed again is not worth it."""
    if remember and not handlers.is_rebuilding():
        graveyard.events_bury(chain_id, ancestor=above)
    events = ChainEvent.objects.filter(chain_id=chain_id, block_number__gt=above)
    count = events.count()
    events.delete()
    ParkedLog.objects.filter(chain_id=chain_id, block_number__gt=above).delete()
    BlockHeader.objects.filter(chain_id=chain_id, number__gt=above).delete()
    return count


def _header_store(chain_id: int, last: Header, heads: Heads) -> None:
    stored = BlockHeader(
        chain_id=chain_id,
        number=last.number,
        hash=last.hash,
        parent_hash=last.parent_hash,
        timestamp=last.timestamp,
    )
    rows_insert([stored], unique=("chain_id", "number"))
    # The newest final header stays: it is where a search for a fork ends.
    kept = min(heads.finalized_number, last.number)
    BlockHeader.objects.filter(chain_id=chain_id, number__lt=kept).delete()


def _logs_store(chain_id: int, logs: Sequence[ScannedLog]) -> None:
    """Insert events and parked logs, and run the handlers of the events."""
    if not logs:
        return
    places = [(log, _place(chain_id, log)) for log in logs]
    parked = [
        ParkedLog(**place, topics=list(log.raw.topics), data=log.raw.data, reason=log.reason)
        for log, place in places
        if log.event is None
    ]
    rows_insert_keyed(ParkedLog, parked)
    batch = [
        IndexedEvent(log.event, ChainEvent(**place, name=log.event.name, args=args_json(log.event.args)))
        for log, place in places
        if log.event is not None
    ]
    rows_insert_keyed(ChainEvent, [item.row for item in batch])
    fault_point("indexer.events_inserted")
    handlers.dispatch(batch)


def _place(chain_id: int, log: ScannedLog) -> dict[str, Any]:
    return {
        "chain_id": chain_id,
        "block_number": log.raw.block_number,
        "block_hash": log.raw.block_hash,
        "block_time": log.block_time,
        "tx_hash": log.raw.tx_hash,
        "tx_index": log.raw.tx_index,
        "log_index": log.raw.log_index,
        "address": checksum(log.raw.address),
        "contract": log.contract,
    }
