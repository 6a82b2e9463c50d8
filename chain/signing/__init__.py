"""Who signs what the site sends: `get_signer()` gives the signer that the settings name."""

from functools import lru_cache

from django.conf import settings

from chain.development import OPERATOR_KEY
from chain.signing.errors import SignerMissing
from chain.signing.local import LocalSigner
from chain.signing.protocol import Signer
from chain.signing.remote import RemoteSigner


def get_signer() -> Signer:
    """The operator's signer: a remote one where its address is set, else a local key.

    The demo signs with the development operator's published key. Raises `SignerMissing` and `EncodingError`.
    """
    if settings.OPERATOR_SIGNER_URL:
        return _remote(settings.OPERATOR_SIGNER_URL, settings.OPERATOR_ADDRESS, settings.RPC_TIMEOUT_S)
    if settings.OPERATOR_KEY:
        return LocalSigner(settings.OPERATOR_KEY)
    if settings.DEMO and settings.CHAIN_ID in settings.DEVELOPMENT_CHAIN_IDS:
        return LocalSigner(OPERATOR_KEY.key)
    raise SignerMissing(
        "This site has no operator's key. Set WEIGHHOUSE_OPERATOR_KEY_FILE to the file of the key, or"
        " WEIGHHOUSE_OPERATOR_SIGNER_URL and WEIGHHOUSE_OPERATOR_ADDRESS to a signer that holds it."
    )


@lru_cache(maxsize=4)
def _remote(url: str, address: str, timeout_s: float) -> RemoteSigner:
    return RemoteSigner(url, address=address, timeout_s=timeout_s)
