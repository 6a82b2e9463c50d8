"""One audit: the database against the contracts at one block."""

import time
from collections.abc import Callable, Iterator
from itertools import islice

from django.db.models import Count, Max

from chain.address_book import AddressBook
from chain.audit import registry
from chain.audit.block import AuditBlock, Sample
from chain.audit.events import events_audit, foreign_audit, parked_audit
from chain.audit.headers import place_audit, stream_read
from chain.audit.report import AuditReport, Difference
from chain.errors import AuditImpossible
from chain.gateway import get_gateway
from chain.gateway.errors import NodeBehind
from chain.gateway.protocol import ChainGateway, Header
from chain.models import ChainEvent
from chain.selectors import address_book

FINAL = "finalized"
LATEST = "latest"
INDEXED = "indexed"
# A report holds no more: of a database that is wrong from end to end, these say enough.
DIFFERENCES_MOST = 10_000


def audit_run(
    *,
    block: int | str = FINAL,
    sample: Sample | None = None,
    only_first: bool = False,
    gateway: ChainGateway | None = None,
    book: AddressBook | None = None,
    say: Callable[[str], None] | None = None,
) -> AuditReport:
    """Compare every read model with the chain at a block: a number, or `finalized`, `latest` or `indexed`.

    `indexed` is the newest block that the index has. The report has at most `DIFFERENCES_MOST` differences.

    1. Fix the block by its hash. The index must have it.
    2. Compare the indexer's place, every log with its event and every event with its rows.
    3. Ask the contracts at that hash and compare with what the rows amount to, app by app.
    4. Look whether block and index are still the same; a verdict over something that moved would be worth nothing.

    Raises `AuditImpossible`, the gateway's errors and what `address_book` raises: then nothing is known.
    """
    started = time.monotonic()
    gateway, book = gateway or get_gateway(), book or address_book()
    header = _header(gateway, book, block)
    extent = _extent(book, header)
    audit = AuditBlock(gateway, book, header, last_event_id=extent[1] or 0, sample=sample)
    if say is not None:
        audit.say = say
    differences = list(islice(_differences(audit), 1 if only_first else DIFFERENCES_MOST))
    _unmoved_require(audit, extent)
    return AuditReport(
        block_number=header.number,
        block_hash=header.hash,
        values=audit.values,
        rows=audit.rows,
        seconds=time.monotonic() - started,
        is_sample=sample is not None,
        differences=differences,
    )


def _differences(block: AuditBlock) -> Iterator[Difference]:
    yield from place_audit(block)
    yield from parked_audit(block)
    yield from foreign_audit(block)
    yield from events_audit(block)
    for name, audit in registry.audits().items():
        block.say(name)
        yield from audit(block)


def _header(gateway: ChainGateway, book: AddressBook, block: int | str) -> Header:
    """The block to ask at. Raises `AuditImpossible` where it says nothing yet, or the index does not reach it."""
    heads, stream = gateway.heads(), stream_read(book.chain_id)
    named = {FINAL: heads.finalized_number, LATEST: heads.latest.number, INDEXED: stream.next_block - 1}
    number = named.get(block, -1) if isinstance(block, str) else block
    if not 0 <= number <= heads.latest.number:
        raise AuditImpossible(f"There is no block {block} on the chain, whose newest is {heads.latest.number}.")
    if number < book.deployed_at_block:
        message = (
            f"The contracts were deployed in block {book.deployed_at_block}, and block {number} comes before it. Wait"
            f" until that block is final, or name a later one (`--block {INDEXED}`)."
        )
        raise AuditImpossible(message)
    if stream.next_block <= number:
        message = f"The index ends before block {stream.next_block} and does not reach block {number} yet."
        raise AuditImpossible(f"{message} Look at `index_chain`, or name an earlier block.")
    (header,) = gateway.headers([number])
    if header is None:
        raise NodeBehind(f"The node has no block {number}.")
    return header


def _extent(book: AddressBook, header: Header) -> tuple[int, int | None]:
    """How many events the index has up to the block, and the newest one's id."""
    events = ChainEvent.objects.filter(chain_id=book.chain_id, block_number__lte=header.number)
    found = events.aggregate(count=Count("pk"), newest=Max("pk"))
    return found["count"], found["newest"]


def _unmoved_require(block: AuditBlock, extent: tuple[int, int | None]) -> None:
    (header,) = block.gateway.headers([block.header.number])
    if header is None or header.hash != block.header.hash:
        raise NodeBehind(f"Block {block.header.number} left the chain while it was compared. Run the audit again.")
    if _extent(block.book, block.header) != extent:
        raise AuditImpossible("The index changed below the block while it was compared. Run the audit again.")
