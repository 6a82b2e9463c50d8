"""The way to a chain: `get_gateway()` gives the one that the settings name."""

from functools import lru_cache

from django.conf import settings

from chain.gateway.jsonrpc import JsonRpcGateway
from chain.gateway.protocol import ChainGateway


def get_gateway() -> ChainGateway:
    """The process's gateway to the site's chain. Nothing is sent before its first use.

    Tests of other domains replace it by setting `CHAIN_GATEWAY` to a `FakeGateway`.
    """
    double: ChainGateway | None = getattr(settings, "CHAIN_GATEWAY", None)
    if double is not None:
        return double
    return _gateway(tuple(settings.RPC_URLS), settings.CHAIN_ID, settings.RPC_TIMEOUT_S)


@lru_cache(maxsize=8)
def _gateway(urls: tuple[str, ...], chain_id: int, timeout_s: float) -> JsonRpcGateway:
    return JsonRpcGateway(urls, chain_id=chain_id, timeout_s=timeout_s)
