"""Every log against its `ChainEvent`, and every `ChainEvent` against the rows that were made of it.

1. Take a range of blocks that holds a bounded number of indexed events; ask the node for its logs and headers.
2. Pair logs and events by their place and compare every field; what has no partner is a difference.
3. Ids must ascend in chain order: "the newest row" of all read models relies on it.
4. For each table, compare the rows of these events with the rows that the logs should have made.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address

from chain.audit.block import AuditBlock
from chain.audit.decode import AuditedLog, NotDescribedError, as_stored, log_decode
from chain.audit.logs import LogReader
from chain.audit.registry import RowAudit, row_audits
from chain.audit.report import Difference
from chain.gateway.errors import NodeBehind
from chain.gateway.protocol import Header, RawLog
from chain.models import ChainEvent, ParkedLog

EVENTS_PER_RANGE = 2000


@dataclass(frozen=True, slots=True)
class _Range:
    """Blocks `first` to `last`, and the ids of events above `after` that belong to them."""

    first: int
    last: int
    after: int


def parked_audit(block: AuditBlock) -> Iterator[Difference]:
    """A log that nobody could decode is missing from every read model."""
    parked = ParkedLog.objects.filter(chain_id=block.book.chain_id, block_number__lte=block.header.number)
    for row in parked.order_by("block_number", "log_index"):
        yield Difference(
            ParkedLog._meta.label,
            f"log {row.block_number}/{row.log_index} of {row.contract}",
            "",
            f"parked ({row.reason})",
            "a log",
            remedy="Install the version of the site that knows this contract, then run `manage.py reindex`.",
        )


def foreign_audit(block: AuditBlock) -> Iterator[Difference]:
    """Read models do not say of which chain they speak: none may come from another one's events."""
    others = ChainEvent.objects.exclude(chain_id=block.book.chain_id)
    for event in others[:1]:
        for audit in row_audits():
            if audit.model._default_manager.filter(event__in=others).exists():
                told = f"no event of chain {event.chain_id}, which is another one"
                yield block.surplus(audit.model, f"a row of {event}", told)


def events_audit(block: AuditBlock) -> Iterator[Difference]:
    """Logs, events and derived rows, range by range. Raises the gateway's errors."""
    reader = LogReader(block)
    for part in _sampled(block) if block.sample else _ranges(block):
        block.say(f"blocks {part.first} to {part.last}")
        rows = _events(block, part)
        logs: dict[int, AuditedLog] = {}
        yield from _pairs(reader, part, rows, logs)
        yield from _order(rows, part.after)
        upto = max((row["id"] for row in rows), default=part.after)
        for audit in row_audits() if upto > part.after else ():
            yield from _rows_compare(block, audit, logs, after=part.after, upto=upto)


def _ranges(block: AuditBlock) -> Iterator[_Range]:
    """All blocks from the deployment on, in ranges of about `EVENTS_PER_RANGE` indexed events."""
    first, after, final = block.book.deployed_at_block, 0, block.header.number
    events = ChainEvent.objects.filter(chain_id=block.book.chain_id, block_number__lte=final)
    while first <= final:
        beyond = events.filter(block_number__gt=first).order_by("block_number", "log_index")
        following = beyond.values_list("block_number", flat=True)[EVENTS_PER_RANGE : EVENTS_PER_RANGE + 1].first()
        last = final if following is None else max(following - 1, first)
        yield _Range(first, last, after)
        newest = events.filter(block_number__lte=last).order_by("-block_number", "-log_index").values_list("id").first()
        after = newest[0] if newest else after
        first = last + 1


def _sampled(block: AuditBlock) -> Iterator[_Range]:
    """Stretches from one indexed event to the next, so that something missing in between shows."""
    if block.sample is None or not block.last_event_id:
        return
    rng = random.Random(block.sample.seed)  # noqa: S311 - a choice that can be repeated, nothing secret
    events = ChainEvent.objects.filter(chain_id=block.book.chain_id, id__lte=block.last_event_id).order_by("id")
    oldest = events.values_list("id", flat=True)[0]
    places = [rng.randint(oldest, block.last_event_id) for _ in range(block.sample.size)]
    for first in sorted({events.filter(id__gte=place)[0].block_number for place in places}):
        later = events.filter(block_number__gt=first).order_by("block_number").first()
        before = events.filter(block_number__lt=first).order_by("-block_number", "-log_index").first()
        yield _Range(first, later.block_number if later else block.header.number, before.id if before else 0)


def _events(block: AuditBlock, part: _Range) -> list[dict[str, Any]]:
    """The events of a range, by their ids; what stands before the deployment belongs to the first one."""
    low = part.first if part.after else 0
    found = ChainEvent.objects.filter(chain_id=block.book.chain_id, block_number__range=(low, part.last))
    return [dict(row) for row in found.order_by("id").values()]


def _pairs(
    reader: LogReader, part: _Range, rows: list[dict[str, Any]], logs: dict[int, AuditedLog]
) -> Iterator[Difference]:
    """Compare the events of a range with its logs. Fills `logs`, by the ids of the events."""
    block = reader.block
    raws = reader.read(part.first, part.last)
    headers = reader.headers(raw.block_number for raw in raws)
    unpaired = {(row["block_number"], row["log_index"]): row for row in rows}
    block.rows += len(rows)
    for raw in raws:
        row, header = unpaired.pop((raw.block_number, raw.log_index), None), headers[raw.block_number]
        if raw.block_hash != header.hash:
            raise NodeBehind(f"The node answered a log of block {raw.block_hash}, which left the chain.")
        try:
            log = log_decode(raw, contract=reader.contracts[raw.address], header=header)
        except NotDescribedError as error:
            yield from _undescribed(block, raw, row, str(error))
            continue
        if row is None:
            yield block.missing(ChainEvent, str(log), str(log))
        else:
            logs[row["id"]] = log
            yield from block.compare(ChainEvent, str(log), database=row, chain=_event_fields(log, header))
    for place, row in unpaired.items():
        if not any(raw.log_index == place[1] for raw in _confirmed(reader, place[0])):
            yield block.surplus(ChainEvent, f"{row['name']} at {place[0]}/{place[1]}")


def _undescribed(block: AuditBlock, raw: RawLog, row: dict[str, Any] | None, reason: str) -> Iterator[Difference]:
    """A log that nobody can decode is parked, which `parked_audit` tells, and never dropped."""
    where = f"log {raw.block_number}/{raw.log_index}"
    place = {"block_hash": raw.block_hash, "log_index": raw.log_index}
    if row is not None:
        yield block.surplus(ChainEvent, where, reason)
    if not ParkedLog.objects.filter(chain_id=block.book.chain_id, **place).exists():
        yield block.missing(ParkedLog, where, f"a log: {reason}")


def _confirmed(reader: LogReader, number: int) -> list[RawLog]:
    if number < reader.block.book.deployed_at_block:
        return []
    return reader.absence_confirm(number)


def _event_fields(log: AuditedLog, header: Header) -> dict[str, Any]:
    return {
        "block_hash": header.hash,
        "block_time": log.block_time,
        "tx_hash": log.raw.tx_hash,
        "tx_index": log.raw.tx_index,
        "address": to_checksum_address(log.raw.address),
        "contract": log.contract,
        "name": log.name,
        "args": as_stored(log.args),
    }


def _order(rows: list[dict[str, Any]], after: int) -> Iterator[Difference]:
    before, place = after, (-1, -1)
    for row in rows:
        here = (row["block_number"], row["log_index"])
        if row["id"] <= before or here <= place:
            where = f"{row['name']} at {here[0]}/{here[1]}"
            yield Difference(
                ChainEvent._meta.label, where, "id", row["id"], f"an id between its neighbours', {before}+"
            )
        before, place = max(before, row["id"]), max(here, place)


def _rows_compare(
    block: AuditBlock, audit: RowAudit, logs: Mapping[int, AuditedLog], *, after: int, upto: int
) -> Iterator[Difference]:
    """The rows of one table that hang off the events of a range, against what the logs should have made."""
    found: dict[int, dict[tuple[Any, ...], dict[str, Any]]] = defaultdict(dict)
    paths = [audit.paths.get(name, name) for name in audit.fields]
    stored = audit.model._default_manager.filter(event_id__gt=after, event_id__lte=upto).order_by("event_id", "pk")
    for event_id, *values in stored.values_list("event_id", *paths):
        row = dict(zip(audit.fields, values, strict=True))
        found[event_id][tuple(row[name] for name in audit.key)] = row
        block.rows += 1
    for event_id, log in logs.items():
        rows = found.pop(event_id, {})
        for key, expected in audit.rows(log).items():
            if key in rows:
                yield from block.compare(audit.model, _where(log, key), database=rows.pop(key), chain=expected)
            else:
                yield block.missing(audit.model, _where(log, key), str(log))
        for key in rows:
            yield block.surplus(audit.model, _where(log, key), f"{log}, which makes no such row")
    for event_id in found:
        yield block.surplus(audit.model, f"the row of event {event_id}", "no such event")


def _where(log: AuditedLog, key: tuple[Any, ...]) -> str:
    return " ".join(["the row of", str(log), *map(str, key)])
