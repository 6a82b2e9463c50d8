"""A signer behind HTTP that speaks `eth_signTransaction` and `eth_signTypedData`, as web3signer does.

What it answers is a stranger's word: the transaction is taken apart and compared before anybody sees it, and who signed
a statement is recovered. Its address may carry a password and appears nowhere.
"""

import itertools
import logging
import time
from typing import Any

import orjson
import requests
from urllib3.exceptions import HTTPError
from weighhouse.core.eip712 import TypedData
from weighhouse.core.signatures import SignatureError, recover

from chain.gateway.errors import text_clean
from chain.signing.errors import SignatureDiffers, SignerRefused, SignerUnavailable
from chain.signing.protocol import TransactionFields
from chain.signing.raw import raw_check

# urllib3 writes paths of requests at DEBUG.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
# It writes the whole address beside headers that it cannot read.
logging.getLogger("urllib3.connection").setLevel(logging.CRITICAL)

RESPONSE_MAX_BYTES = 1024 * 1024


class RemoteSigner:
    """`Signer` over JSON-RPC. `address` is the account that is asked for and that must have signed."""

    def __init__(self, url: str, *, address: str, timeout_s: float = 10.0) -> None:
        self._url = url
        self._address = address
        self._timeout_s = timeout_s
        self._ids = itertools.count(1)

    def __repr__(self) -> str:
        return f"<RemoteSigner {self._address}>"

    @property
    def address(self) -> str:
        return self._address

    def sign_transaction(self, fields: TransactionFields) -> str:
        result = self._ask("eth_signTransaction", [{"from": self._address, **fields.json()}])
        return raw_check(_raw_of(result), fields, signer=self._address)

    def sign_typed_data(self, typed: TypedData) -> str:
        signature = _signature_of(self._ask("eth_signTypedData", [self._address, typed.json()]))
        try:
            signer = recover(typed.digest(), signature)
        except SignatureError as error:
            raise SignatureDiffers(f"What the remote signer returned is no signature: {error.message}") from None
        if signer != self._address:
            raise SignatureDiffers(f"The signer signed as {signer}, or something else; {self._address} was asked for.")
        return signature

    def _ask(self, method: str, params: list[Any]) -> Any:
        number = next(self._ids)
        answer = self._exchange(orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
        if not isinstance(answer, dict) or answer.get("id") != number:
            raise SignerUnavailable("The remote signer answered something that is not an answer to the request.")
        if answer.get("error") is not None:
            error = answer["error"]
            words = text_clean(error.get("message") if isinstance(error, dict) else "")
            raise SignerRefused(f"The remote signer does not sign this: {words}")
        return answer.get("result")

    def _exchange(self, body: bytes) -> Any:
        # A session of its own per request: a signer is asked seldom, and threads share nothing.
        try:
            with requests.Session() as session:
                session.trust_env = False
                session.headers["Content-Type"] = "application/json"
                with session.post(
                    self._url, data=body, timeout=self._timeout_s, stream=True, allow_redirects=False
                ) as response:
                    content, status = self._read(response), response.status_code
        except (requests.RequestException, HTTPError, OSError) as error:
            # The text of these errors holds the address, so only the type is told.
            raise SignerUnavailable(f"The remote signer does not answer ({type(error).__name__}).") from None
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            raise SignerUnavailable(f"The remote signer answered status {status} and no JSON.") from None

    def _read(self, response: requests.Response) -> bytes:
        deadline = time.monotonic() + 3 * self._timeout_s
        content = bytearray()
        for chunk in response.raw.stream(65536, decode_content=True):
            content += chunk
            if len(content) > RESPONSE_MAX_BYTES:
                raise SignatureDiffers(f"The remote signer answered more than {RESPONSE_MAX_BYTES} bytes.")
            if time.monotonic() > deadline:
                raise TimeoutError
        return bytes(content)


def _raw_of(result: object) -> object:
    """web3signer answers the hex alone, clef and geth an object with it."""
    return result.get("raw") if isinstance(result, dict) else result


def _signature_of(result: object) -> str:
    """In lower case and with v as 27 or 28: some signers write 0 and 1."""
    text = result.lower() if isinstance(result, str) else ""
    return {"00": text[:-2] + "1b", "01": text[:-2] + "1c"}.get(text[-2:], text)
