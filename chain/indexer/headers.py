"""Where two branches part. Pure: headers in, an answer out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chain.gateway.errors import NodeBehind
from chain.gateway.protocol import Header

H = TypeVar("H", bound=Header)


@dataclass(frozen=True, slots=True)
class Fork:
    """The stored block `ancestor` is still canonical, what was indexed above it is not. `None`: not even the oldest."""

    ancestor: Header | None


def fork_find(stored: Sequence[Header], canonical: Mapping[int, Header | None], *, may_lag: bool = True) -> Fork | None:
    """Compare what was indexed with what the node has now; `None` where nothing indexed has been replaced.

    `stored` is in ascending order, `canonical` holds the node's header, or `None`, for each of its heights. A height
    that the node does not have proves nothing: it may lag. So a fork is only reported where some height has another
    hash. Raises `NodeBehind` where the node is shorter than what was indexed and agrees with it as far as it goes.
    Where nodes cannot lag (`may_lag` false: the one development node), being shorter is a fork too.
    """
    known = [(mine, canonical.get(mine.number)) for mine in stored]
    shorter = bool(known) and known[-1][1] is None
    if any(theirs is not None and theirs.hash != mine.hash for mine, theirs in known) or (shorter and not may_lag):
        same = [mine for mine, theirs in known if theirs is not None and theirs.hash == mine.hash]
        return Fork(ancestor=same[-1] if same else None)
    if shorter:
        raise NodeBehind(f"The node does not have block {known[-1][0].number}, which is indexed already.")
    return None


def linked(parent_hash: str | None, headers: Sequence[H | None]) -> list[H]:
    """The leading headers that form one chain on top of `parent_hash` (on anything, where that is `None`).

    The node may have moved to another branch between two answers; what does not link is left for the next round.
    """
    chain: list[H] = []
    for header in headers:
        if header is None or (parent_hash is not None and header.parent_hash != parent_hash):
            break
        chain.append(header)
        parent_hash = header.hash
    return chain
