"""Signers: a local key, and one behind HTTP whose every answer is taken apart."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import rlp
from eth_account import Account
from weighhouse.core.statements import delegation_typed, statement_domain

from chain.development import DEVELOPMENT_ACCOUNTS, OPERATOR_KEY
from chain.errors import EncodingError
from chain.models import OutboxAttempt
from chain.signing import get_signer
from chain.signing.errors import SignatureDiffers, SignerMissing, SignerRefused, SignerUnavailable
from chain.signing.local import LocalSigner
from chain.signing.protocol import TransactionFields
from chain.signing.raw import raw_check, raw_hash
from chain.signing.remote import RESPONSE_MAX_BYTES, RemoteSigner
from tests.chain.outbox.conftest import send_once

OTHER = DEVELOPMENT_ACCOUNTS[3]
FIELDS = TransactionFields(
    chain_id=31337,
    nonce=7,
    to=OTHER.address,
    value_wei=5,
    data="0xabcdef",
    gas=100_000,
    max_fee_wei=3 * 10**9,
    tip_wei=10**9,
)
LOCAL = LocalSigner(OPERATOR_KEY.key)
SECRET_PATH = "/very-secret-path"


class Service:
    """A remote signer whose `answer` a test sets: a function from the request's JSON to status, headers and body."""

    def __init__(self) -> None:
        self.requests: list[dict] = []
        self.answer = self.honest

    def honest(self, request):
        return 200, {}, self.result(request, LOCAL.sign_transaction(self.fields(request)))

    def altered(self, **changes):
        """Sign something else than what was asked."""

        def answer(request):
            return 200, {}, self.result(request, LOCAL.sign_transaction(replace(self.fields(request), **changes)))

        return answer

    @staticmethod
    def fields(request) -> TransactionFields:
        asked = request["params"][0]
        numbers = ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")
        chain_id, nonce, value_wei, gas, max_fee_wei, tip_wei = (int(asked[name], 16) for name in numbers)
        return TransactionFields(
            chain_id=chain_id,
            nonce=nonce,
            to=asked["to"],
            value_wei=value_wei,
            data=asked["data"],
            gas=gas,
            max_fee_wei=max_fee_wei,
            tip_wei=tip_wei,
        )

    @staticmethod
    def result(request, raw) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": raw}).encode()


@contextmanager
def serving(service: Service) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.requests.append(request)
            status, headers, body = service.answer(request)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{SECRET_PATH}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def url(service) -> Iterator[str]:
    with serving(service) as address:
        yield address


def remote(url: str) -> RemoteSigner:
    return RemoteSigner(url, address=OPERATOR_KEY.address, timeout_s=2)


def test_local_key_signs_exactly_the_fields_and_shows_itself_nowhere():
    raw = LOCAL.sign_transaction(FIELDS)
    assert raw_check(raw, FIELDS, signer=OPERATOR_KEY.address) == raw
    assert Account.recover_transaction(raw) == LOCAL.address == OPERATOR_KEY.address
    assert OPERATOR_KEY.key[2:] not in repr(LOCAL) + str(vars(LOCAL).keys())
    assert LocalSigner(f" {OPERATOR_KEY.key}\n").address == OPERATOR_KEY.address, "files end with a newline"


@pytest.mark.parametrize("key", ["", "0x12", OPERATOR_KEY.key + "00", "secret" * 10])
def test_key_of_another_form_is_refused_without_being_repeated(key):
    with pytest.raises(EncodingError) as caught:
        LocalSigner(key)
    assert not key or key not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("form", [lambda raw: raw, lambda raw: {"raw": raw, "tx": {}}], ids=["web3signer", "clef"])
def test_remote_signer_is_asked_by_the_standard_and_its_answer_is_what_a_local_key_signs(service, url, form):
    service.answer = lambda request: (200, {}, service.result(request, form(LOCAL.sign_transaction(FIELDS))))
    assert remote(url).sign_transaction(FIELDS) == LOCAL.sign_transaction(FIELDS)
    (request,) = service.requests
    assert request["method"] == "eth_signTransaction"
    assert request["params"][0] == {
        "from": OPERATOR_KEY.address,
        "type": "0x2",
        "chainId": "0x7a69",
        "nonce": "0x7",
        "to": OTHER.address,
        "value": "0x5",
        "data": "0xabcdef",
        "gas": "0x186a0",
        "maxFeePerGas": hex(3 * 10**9),
        "maxPriorityFeePerGas": hex(10**9),
    }


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"chain_id": 1}, "chain id"),
        ({"nonce": 8}, "nonce"),
        ({"to": DEVELOPMENT_ACCOUNTS[4].address}, "recipient"),
        ({"value_wei": 6}, "value"),
        ({"data": "0xabcdee"}, "data"),
        ({"gas": 100_001}, "gas"),
        ({"max_fee_wei": 4 * 10**9}, "fee"),
        ({"tip_wei": 0}, "tip"),
    ],
)
def test_remote_signer_that_alters_a_field_is_refused_and_the_field_is_named(service, url, changes, what):
    service.answer = service.altered(**changes)
    with pytest.raises(SignatureDiffers, match=f"another {what} "):
        remote(url).sign_transaction(FIELDS)


STATEMENT = delegation_typed(
    statement_domain(31337, OTHER.address),
    {
        "operatorId": 1,
        "operatorKey": OPERATOR_KEY.address,
        "workerKey": OTHER.address,
        "receiptAnchor": OTHER.address,
        "validFrom": 0,
        "validUntil": 5,
    },
)


@pytest.mark.parametrize("form", [str, str.upper, lambda text: text[:-2] + {"1b": "00", "1c": "01"}[text[-2:]]])
def test_remote_signer_signs_a_statement_as_a_local_key_does_whatever_form_it_writes(service, url, form):
    signature = LOCAL.sign_typed_data(STATEMENT)
    service.answer = lambda request: (200, {}, service.result(request, form(signature)))
    assert remote(url).sign_typed_data(STATEMENT) == signature
    (request,) = service.requests
    assert request["method"] == "eth_signTypedData"
    assert request["params"] == [OPERATOR_KEY.address, STATEMENT.json()]


@pytest.mark.parametrize("answer", [LocalSigner(OTHER.key).sign_typed_data(STATEMENT), "0x", None, 5, "0x" + "00" * 65])
def test_remote_signer_that_signs_something_else_than_the_statement_is_refused(service, url, answer):
    service.answer = lambda request: (200, {}, service.result(request, answer))
    with pytest.raises(SignatureDiffers):
        remote(url).sign_typed_data(STATEMENT)


def signed_as(key: str = OPERATOR_KEY.key, **changes) -> str:
    transaction = {
        "type": 2,
        "chainId": 31337,
        "nonce": 7,
        "to": OTHER.address,
        "value": 5,
        "data": "0xabcdef",
        "gas": 100_000,
        "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10**9,
    }
    return "0x" + Account.from_key(key).sign_transaction({**transaction, **changes}).raw_transaction.hex()


def parts_changed(change) -> str:
    parts = rlp.decode(bytes.fromhex(LOCAL.sign_transaction(FIELDS)[4:]))
    change(parts)
    return "0x02" + rlp.encode(parts).hex()


def high_s(parts) -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    parts[9] = b"" if parts[9] else b"\x01"
    parts[11] = (order - int.from_bytes(parts[11], "big")).to_bytes(32, "big")


ACCESS = [{"address": OTHER.address, "storageKeys": ["0x" + "00" * 32]}]


@pytest.mark.parametrize(
    "raw",
    [
        signed_as(OTHER.key),
        signed_as(accessList=ACCESS),
        parts_changed(high_s),
        parts_changed(lambda parts: parts.__setitem__(10, b"\x00" + parts[10])),
        parts_changed(lambda parts: parts.__setitem__(10, b"")),
        parts_changed(lambda parts: parts.__setitem__(9, b"\x1b")),
        parts_changed(lambda parts: parts.append(b"")),
        parts_changed(lambda parts: parts.pop()),
        parts_changed(lambda parts: parts.__setitem__(11, [b"\x01"])),
        LOCAL.sign_transaction(FIELDS) + "00",
        "0x01" + LOCAL.sign_transaction(FIELDS)[4:],
        LOCAL.sign_transaction(FIELDS)[2:],
        "0x02",
        "0x",
        "0xzz",
        "",
        None,
        5,
        ["0x02"],
    ],
)
def test_anything_but_the_signed_fields_is_refused(raw):
    with pytest.raises(SignatureDiffers):
        raw_check(raw, FIELDS, signer=OPERATOR_KEY.address)


def test_hash_is_the_one_that_the_chain_will_use():
    signed = Account.from_key(OPERATOR_KEY.key).sign_transaction(
        {"chainId": 1, "nonce": 0, "gas": 21000, "to": OTHER.address, "value": 0, "gasPrice": 1}
    )
    assert raw_hash("0x" + signed.raw_transaction.hex()) == "0x" + signed.hash.hex()


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: (200, {}, b"<html>"),
        lambda request: (200, {}, b"[]"),
        lambda request: (200, {}, b'{"jsonrpc": "2.0", "id": 999999, "result": "0x"}'),
        lambda request: (500, {}, b""),
        lambda request: (302, {"Location": "http://169.254.169.254/"}, b""),
        lambda request: (200, {"Content-Length": "1000"}, b"{}"),
    ],
)
def test_signer_that_does_not_answer_may_be_asked_again_and_its_address_is_not_told(service, url, answer):
    service.answer = answer
    with pytest.raises(SignerUnavailable) as caught:
        remote(url).sign_transaction(FIELDS)
    assert caught.value.retryable
    assert SECRET_PATH not in f"{caught.value} {remote(url)!r}"


def test_signer_that_is_away_is_unavailable():
    with pytest.raises(SignerUnavailable) as caught:
        RemoteSigner("http://127.0.0.1:1" + SECRET_PATH, address=OPERATOR_KEY.address).sign_transaction(FIELDS)
    assert SECRET_PATH not in str(caught.value)


def test_answer_without_end_is_refused(service, url):
    service.answer = lambda request: (200, {}, b" " * (RESPONSE_MAX_BYTES + 1))
    with pytest.raises(SignatureDiffers, match="more than"):
        remote(url).sign_transaction(FIELDS)


def test_signer_that_refuses_says_so_in_its_words_cut_and_without_addresses(service, url):
    words = "policy denies http://internal.example/KEY\n" + "x" * 1000
    service.answer = lambda request: (200, {}, json.dumps({"id": request["id"], "error": {"message": words}}).encode())
    with pytest.raises(SignerRefused, match="policy denies <url>") as caught:
        remote(url).sign_transaction(FIELDS)
    assert len(caught.value.message) < 400


@pytest.mark.django_db
def test_remote_signer_sends_through_the_outbox_what_it_was_asked_and_nothing_else(outbox, service, url, caplog):
    row = outbox.mint(5)
    service.answer = service.altered(to=OTHER.address)
    sender = outbox.sender(signer=remote(url), hold_s=0)
    sender.step()
    row.refresh_from_db()
    assert (row.state, row.reason_code, row.tries) == ("queued", "signing.differs", 1)
    assert (OutboxAttempt.objects.count(), outbox.minted(), outbox.pool()) == (0, [], {})
    service.answer = service.honest
    send_once(sender)
    assert outbox.minted() == [5]
    assert SECRET_PATH not in caplog.text


@pytest.mark.django_db
def test_remote_signer_that_is_away_leaves_the_queue_as_it_was(outbox):
    row = outbox.mint(5)
    sender = outbox.sender(signer=RemoteSigner("http://127.0.0.1:1", address=OPERATOR_KEY.address))
    with pytest.raises(SignerUnavailable):
        sender.step()
    row.refresh_from_db()
    assert (row.state, row.tries) == ("queued", 0)


def test_settings_choose_the_signer(settings):
    assert get_signer().address == OPERATOR_KEY.address, "the demo's own"
    settings.OPERATOR_KEY = OTHER.key
    assert get_signer().address == OTHER.address
    settings.OPERATOR_SIGNER_URL, settings.OPERATOR_ADDRESS = "http://127.0.0.1:1", DEVELOPMENT_ACCOUNTS[4].address
    assert isinstance(get_signer(), RemoteSigner)
    assert get_signer().address == DEVELOPMENT_ACCOUNTS[4].address


@pytest.mark.parametrize("changes", [{"DEMO": False}, {"CHAIN_ID": 1}])
def test_published_key_is_used_in_the_demo_alone(settings, changes):
    for name, value in changes.items():
        setattr(settings, name, value)
    with pytest.raises(SignerMissing, match="WEIGHHOUSE_OPERATOR_KEY_FILE"):
        get_signer()
