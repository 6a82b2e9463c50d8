"""The verifier, offline: what holds is told, and no byte can be changed."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weighhouse import cli
from weighhouse.core import canonical
from weighhouse.core.commitments import NOTHING, plain_hash
from weighhouse.core.signatures import checksum, key_address
from weighhouse.core.statements import Signed
from weighhouse.verify import Expected, Result, verify

from tests.sdk import support
from tests.sdk.support import acceptance, anchored, delegated, failed_receipt, receipt, revoked

DOCUMENTS = {
    "acceptance": acceptance().to_bytes(),
    "receipt": receipt().to_bytes(),
    "failure": failed_receipt().to_bytes(),
    "anchored": anchored(receipt()).to_bytes(),
}


def failures(statement, expected=None) -> list[str]:
    return verify(statement.to_bytes(), expected).failed()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_statement_as_it_was_issued_holds(name):
    report = verify(DOCUMENTS[name])
    assert report.ok, report.text()
    assert "not prove" in report.text()


def test_receipt_with_its_opening_and_proof_holds_in_every_check_but_those_of_chain_and_keys():
    report = verify(anchored(receipt()).to_bytes(), Expected(market=support.MARKET, opening=support.OPENING))
    assert [check.name for check in report.checks if check.result is Result.SKIPPED] == ["chain", "revocation"]
    assert report.ok


@pytest.mark.parametrize("name", ["acceptance", "failure", "anchored"])
def test_statement_with_any_byte_changed_does_not_hold(name):
    document = DOCUMENTS[name]
    for place in range(len(document)):
        changed = bytearray(document)
        changed[place] ^= 1 << (place % 8)
        report = verify(bytes(changed))
        assert not report.ok, (place, bytes(changed[max(place - 30, 0) : place + 30]))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_statement_with_bytes_put_in_taken_out_or_replaced_does_not_hold(data):
    document = data.draw(st.sampled_from(sorted(DOCUMENTS.values())))
    start = data.draw(st.integers(0, len(document)))
    end = data.draw(st.integers(start, min(start + 70, len(document))))
    changed = document[:start] + data.draw(st.binary(max_size=70)) + document[end:]
    assert verify(changed).ok == (changed == document)


def paths(value, path=()):
    if isinstance(value, dict):
        for name, child in value.items():
            yield from paths(child, (*path, name))
    elif isinstance(value, list):
        for place, child in enumerate(value):
            yield from paths(child, (*path, place))
    else:
        yield path


def other(value):
    """Another value of the same form."""
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return checksum(bytes.fromhex(value[2:-2]) + bytes([int(value[-2:], 16) ^ 1]))
    if isinstance(value, str) and value.startswith("0x"):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    if isinstance(value, str) and value.isdecimal():
        return str(int(value) + 1)
    if isinstance(value, int):
        return value + 1
    return f"{value}x"


@pytest.mark.parametrize(
    "path", list(paths(json.loads(DOCUMENTS["anchored"]))), ids=lambda path: ".".join(map(str, path))
)
def test_receipt_with_any_field_changed_does_not_hold(path):
    body = json.loads(DOCUMENTS["anchored"])
    holder = body
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = other(holder[path[-1]])
    assert not verify(canonical.dumps(body)).ok


@pytest.mark.parametrize("name", sorted(json.loads(DOCUMENTS["anchored"])))
def test_receipt_without_a_field_or_with_one_more_does_not_hold(name):
    body = json.loads(DOCUMENTS["anchored"])
    assert not verify(canonical.dumps(body | {"more": 1})).ok
    body.pop(name)
    assert not verify(canonical.dumps(body)).ok


def test_receipt_that_was_reformatted_says_what_to_do():
    report = verify(json.dumps(json.loads(DOCUMENTS["receipt"]), indent=1).encode())
    assert report.failed() == ["form"]
    assert "take it from the site again" in report.text()


@pytest.mark.parametrize("document", [b"", b"null", b"[]", b'{"kind":["weighhouse.receipt/1"]}', b"\xff", b"9" * 5000])
def test_document_that_is_none_fails_by_its_form(document):
    assert verify(document).failed() == ["form"]


def test_receipt_signed_by_another_than_the_delegated_key_does_not_hold():
    assert failures(receipt(key=support.STRANGER_KEY)) == ["signature"]


def test_receipt_under_a_delegation_of_a_stranger_differs_from_the_operators_key():
    forged = receipt(delegation=delegated(key=support.STRANGER_KEY))
    assert failures(forged, Expected(operator_key=key_address(support.OPERATOR_KEY))) == ["operator key"]
    pretended = delegated({"operatorKey": key_address(support.OPERATOR_KEY)}, key=support.STRANGER_KEY)
    assert failures(receipt(delegation=pretended)) == ["delegation"]


@pytest.mark.parametrize("issued_at", [support.DELEGATION["validFrom"] - 1, support.DELEGATION["validUntil"]])
def test_receipt_issued_outside_the_term_of_its_delegation_does_not_hold(issued_at):
    assert failures(receipt({"issuedAt": issued_at})) == ["term"]


def test_receipt_of_another_operator_than_the_delegations_does_not_hold():
    assert failures(receipt({"operatorId": 2})) == ["term"]


def test_receipt_of_another_chain_does_not_take_a_delegation_along():
    elsewhere = replace(support.DOMAIN, chain_id=1)
    moved = receipt(domain=elsewhere, delegation=delegated())
    assert failures(moved) == ["delegation"]


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "running"},
        {"errorCode": "job.expired"},
        {"state": "failed"},
        {"state": "failed", "errorCode": "runner.crashed"},
    ],
)
def test_receipt_that_contradicts_itself_does_not_hold_whoever_signed_it(changes):
    assert "state" in failures(receipt(changes))


def test_acceptance_issued_when_the_job_could_begin_no_more_does_not_hold():
    assert failures(acceptance({"startBefore": support.ISSUED_AT})) == []
    assert failures(acceptance({"startBefore": support.ISSUED_AT - 1})) == ["start"]


def test_failure_that_counts_a_call_does_not_hold():
    assert failures(failed_receipt(calls=1)) == ["state"]


def test_receipt_of_a_success_that_hides_what_ran_does_not_hold():
    assert failures(receipt({"fingerprintHash": NOTHING}, fingerprint=None)) == ["fingerprint"]


def test_receipt_whose_fingerprint_is_of_another_release_does_not_hold():
    ran = support.FINGERPRINT | {"release_digest": "0x" + "00" * 32}
    signed = receipt({"fingerprintHash": "0x" + plain_hash(ran).hex()}, fingerprint=ran)
    assert failures(signed) == ["fingerprint"]


@pytest.mark.parametrize("name", ["input", "output"])
def test_opening_with_another_salt_or_value_does_not_hold(name):
    part = support.OPENING[name]
    for wrong in (
        part | {"salt": "0x" + "03" * 32},
        part | {"salt": "0x03"},
        part | {"value": {}},
        {"salt": part["salt"]},
        7,
    ):
        assert failures(receipt(), Expected(opening=support.OPENING | {name: wrong})) == [name]


@pytest.mark.parametrize(
    ("expected", "name"),
    [
        ({"chain_id": 1}, "chain id"),
        ({"market": support.ANCHOR}, "market"),
        ({"anchor": support.MARKET}, "anchor contract"),
        ({"model_id": 3}, "model"),
        ({"licence_id": 3}, "licence"),
        ({"release_digest": NOTHING}, "release"),
    ],
)
def test_receipt_about_something_else_than_expected_does_not_hold(expected, name):
    assert failures(receipt(), Expected(**expected)) == [name]


def test_revoked_key_vouches_for_nothing_that_no_chain_was_asked_about():
    for at in (support.ISSUED_AT - 1, support.ISSUED_AT + 1):
        assert failures(anchored(receipt()), Expected(keys=revoked(at))) == ["revocation"]


def test_revocation_by_a_stranger_or_of_another_key_changes_nothing():
    for keys in (revoked(1, key=support.STRANGER_KEY), revoked(1, worker=support.ANCHOR), {"results": []}):
        assert failures(receipt(), Expected(keys=keys)) == []
    for keys in ({}, [], {"results": [{}]}, {"results": [{"revocation": {"message": {}, "signature": ""}}]}):
        assert failures(receipt(), Expected(keys=keys)) == ["revocation"]


def test_signature_in_its_other_form_does_not_count():
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    statement = receipt()
    content = bytes.fromhex(statement.signed.signature[2:])
    flipped = content[:32] + (order - int.from_bytes(content[32:64])).to_bytes(32) + bytes([55 - content[64]])
    twin = replace(statement, signed=Signed(statement.signed.message, "0x" + flipped.hex()))
    assert failures(twin) == ["signature"]


def test_command_says_each_check_and_ends_with_its_status(tmp_path, capsys):
    file, opening = tmp_path / "receipt.json", tmp_path / "opening.json"
    file.write_bytes(DOCUMENTS["receipt"])
    opening.write_bytes(canonical.dumps(support.OPENING))
    assert cli.main(["verify", str(file), "--opening", str(opening), "--market", support.MARKET]) == 0
    told = capsys.readouterr().out
    assert {"signature", "delegation", "output"} <= {line[13:29].strip() for line in told.splitlines()}
    file.write_bytes(DOCUMENTS["receipt"].replace(b'"calls":"1"', b'"calls":"2"'))
    assert cli.main(["verify", str(file)]) == 1
    assert "FAILED       signature" in capsys.readouterr().out
    assert cli.main(["verify", str(tmp_path / "none.json")]) == 2
    assert cli.main(["verify", str(file), "--rpc", "http://127.0.0.1:9"]) == 2
    assert "node.unavailable" in capsys.readouterr().err


def test_verifier_imports_nothing_of_the_server():
    code = (
        "import sys, weighhouse.cli; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'django', 'web3', 'eth_account', 'chain', 'marketplace', 'models_registry', 'eth_abi'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
