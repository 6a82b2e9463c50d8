"""The indexer's own place in the chain, and the headers of the window that it keeps."""

from collections.abc import Iterator
from itertools import pairwise

from chain.audit.block import AuditBlock
from chain.audit.report import Difference
from chain.errors import AuditImpossible
from chain.gateway.errors import NodeBehind
from chain.models import BlockHeader, Stream

_READS_MOST = 5
# What can be compared with a node; the rest of a stream's row is the lease and what its holder reported last.
FACTS = ("next_block", "last_block", "last_hash", "contracts_hash", "genesis_hash")


def place_audit(block: AuditBlock) -> Iterator[Difference]:
    """The cursor and the stored headers against the node's. Raises `AuditImpossible` and the gateway's errors."""
    stream, rows = _window(block)
    stored = {row.number: row for row in rows}
    known = [number for number in stored if number <= block.header.number]
    genesis, *headers = block.gateway.headers([0, *known])
    if genesis is None or None in headers:
        raise NodeBehind(f"The node lacks a block below {block.header.number}, at which it is asked.")
    last = stored.get(stream.last_block) if stream.last_block is not None else None
    chain = {
        "last_block": stream.next_block - 1,
        "last_hash": block.header.hash if stream.last_block == block.header.number else last and last.hash,
        "contracts_hash": block.book.contracts_hash,
        "genesis_hash": genesis.hash,
    }
    database = {name: getattr(stream, name) for name in chain}
    yield from block.compare(Stream, f"chain {stream.chain_id}", database=database, chain=chain)
    for header in headers:
        if header is not None:
            fields = {"hash": header.hash, "parent_hash": header.parent_hash, "timestamp": header.timestamp}
            row = stored[header.number]
            subject = f"block {header.number}"
            yield from block.compare(
                BlockHeader, subject, database={name: getattr(row, name) for name in fields}, chain=fields
            )
    yield from _links(block, stream, rows)
    block.rows += 1 + len(rows)


def _links(block: AuditBlock, stream: Stream, rows: list[BlockHeader]) -> Iterator[Difference]:
    """The window has no gap and ends where the cursor stands; each block names the one before."""
    if not rows or rows[-1].number != stream.last_block:
        yield block.missing(BlockHeader, f"block {stream.last_block}", "the block where the cursor stands")
    for before, row in pairwise(rows):
        if row.number != before.number + 1:
            yield block.missing(BlockHeader, f"block {before.number + 1}", "a block of the window")
        else:
            chain = {"parent_hash": before.hash}
            yield from block.compare(
                BlockHeader, f"block {row.number}", database={"parent_hash": row.parent_hash}, chain=chain
            )


def _window(block: AuditBlock) -> tuple[Stream, list[BlockHeader]]:
    """Cursor and headers of one moment, while an indexer may be at work."""
    for _ in range(_READS_MOST):
        before = stream_read(block.book.chain_id)
        rows = list(BlockHeader.objects.filter(chain_id=block.book.chain_id).order_by("number"))
        stream = stream_read(block.book.chain_id)
        if (stream.next_block, stream.last_hash) == (before.next_block, before.last_hash):
            return stream, rows
    raise AuditImpossible("The indexer moves too fast to be compared; try again when it has caught up.")


def stream_read(chain_id: int) -> Stream:
    """Raises `AuditImpossible` where nothing was ever indexed."""
    stream = Stream.objects.filter(chain_id=chain_id).first()
    if stream is None:
        raise AuditImpossible(f"Nothing of chain {chain_id} was indexed yet: start `manage.py index_chain`.")
    return stream
