"""Raw logs made into events, or set aside with a reason. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chain.abi import LogUndecodableError, event_decode
from chain.gateway.protocol import Header, RawLog
from chain.handlers import DecodedEvent


@dataclass(frozen=True, slots=True)
class ScannedLog:
    """A log with its contract's name and either its event or the reason why there is none."""

    raw: RawLog
    contract: str
    block_time: datetime
    event: DecodedEvent | None
    reason: str = ""


def logs_scan(
    logs: Sequence[RawLog], *, headers: Mapping[int, Header], contracts: Mapping[str, str]
) -> list[ScannedLog]:
    """Decode `logs`. `contracts` maps lower-case addresses to names; `headers` has each log's block."""
    return [_log_scan(log, headers[log.block_number], contracts[log.address]) for log in logs]


def _log_scan(log: RawLog, header: Header, contract: str) -> ScannedLog:
    block_time = datetime.fromtimestamp(header.timestamp, tz=UTC)
    try:
        name, args = event_decode(contract, log.topics, log.data)
    except LogUndecodableError as error:
        return ScannedLog(log, contract, block_time, None, str(error))
    event = DecodedEvent(
        contract=contract,
        name=name,
        args=args,
        block_number=log.block_number,
        block_time=block_time,
        tx_hash=log.tx_hash,
        log_index=log.log_index,
    )
    return ScannedLog(log, contract, block_time, event)


def args_json(value: Any) -> Any:
    """Arguments as they are stored: integers as decimal strings, since JSON's numbers end at 2^53."""
    if isinstance(value, dict):
        return {name: args_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [args_json(item) for item in value]
    if isinstance(value, str):
        # PostgreSQL refuses NUL in text.
        return value.replace("\x00", "\ufffd")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
