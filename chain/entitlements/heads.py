"""The newest block, as the processes of this site last heard of it."""

import time
from functools import lru_cache

from django.conf import settings

from chain.entitlements.cache import ASKING, BrokerCache, broker_cache
from chain.entitlements.joining import Joined
from chain.entitlements.shared import prefix, value_of, wait_for
from chain.entitlements.values import header_json, header_parse, value_dump
from chain.gateway import get_gateway
from chain.gateway.protocol import Header
from chain.selectors import address_book


def entitlement_block(*, not_before: int = 0, fresh: bool = False) -> Header:
    """The block at which entitlements are read: the node's newest at most `HEAD_MAX_AGE_S` ago.

    1. Take what a process remembered in the broker. It passes `HEAD_MAX_AGE_S` after the node was asked.
    2. Where there is none, one process asks the node and the others wait for it. Where what there is lies below
       `not_before`, and with `fresh`, ask the node whatever is remembered, and remember its answer.

    A node that is itself behind `not_before` is believed: it may be the chain that became shorter.
    Raises what the gateway and `address_book` raise.
    """
    cache, key = broker_cache(), prefix(address_book()) + ":head"
    if cache is None:
        return get_gateway().header_at(None)
    if fresh or settings.HEAD_MAX_AGE_S <= 0:
        return _asked(key).ask([key])[key]
    known = value_of(cache.read([key])[0], header_parse)
    if known is not None and known.number >= not_before:
        return known
    return (_shared if known is None else _asked)(key).ask([key])[key]


@lru_cache(maxsize=8)
def _shared(key: str) -> Joined[str, Header]:
    """Where this process's threads meet who need a head and found none in the broker."""
    return Joined(lambda _keys: {key: _learn_shared(key)})


@lru_cache(maxsize=8)
def _asked(key: str) -> Joined[str, Header]:
    """Where those meet who want the node to be asked."""
    return Joined(lambda _keys: {key: _learn(key)})


def _learn_shared(key: str) -> Header:
    """Ask the node, unless another process is asking it: then wait for that."""
    cache = broker_cache()
    if cache is None or cache.claim([key]):
        return _learn(key)
    return _wait(cache, key) or _learn(key)


def _learn(key: str) -> Header:
    """Ask the node and remember its answer for what is left of its time. Nobody waits for one who failed."""
    cache, asked_at = broker_cache(), time.monotonic()
    try:
        head = get_gateway().header_at(None)
    except BaseException:
        if cache is not None:
            cache.drop([key])
        raise
    left_ms = int((settings.HEAD_MAX_AGE_S - (time.monotonic() - asked_at)) * 1000)
    if cache is not None and left_ms > 0:
        cache.write({key: value_dump(header_json(head))}, ttl_ms=left_ms)
    elif cache is not None:
        # Too old to be shared; nobody shall wait for it.
        cache.drop([key])
    return head


def _wait(cache: BrokerCache, key: str) -> Header | None:
    found: list[Header] = []

    def look() -> bool:
        content = cache.read([key])[0]
        found.extend(head for head in [value_of(content, header_parse)] if head is not None)
        return content != ASKING

    wait_for(look)
    return found[-1] if found else None
