"""Where a block explorer shows a transaction, an address or a block. Empty where the site names no explorer."""

from functools import lru_cache

from django.conf import settings

KINDS = ("tx", "address", "block")


def explorer_url(kind: str, value: str | int) -> str:
    """`kind` is `tx`, `address` or `block`. The value is one of the chain's: hex or a number."""
    template = _templates(tuple(settings.EXPLORER_URLS)).get(kind, "")
    return template.replace(f"{{{kind}}}", str(value))


@lru_cache(maxsize=4)
def _templates(given: tuple[str, ...]) -> dict[str, str]:
    """A template by kind. An address without a placeholder stands for the three pages of EIP-3091."""
    found: dict[str, str] = {}
    for url in given:
        named = [kind for kind in KINDS if f"{{{kind}}}" in url]
        base = {kind: f"{url.rstrip('/')}/{kind}/{{{kind}}}" for kind in KINDS}
        found |= dict.fromkeys(named, url) if named else base
    return found
