"""The checks, in the order in which they are told."""

from dataclasses import dataclass
from typing import Any

from weighhouse.core.commitments import NOTHING, plain_hash, salted_hash
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.merkle import proof_root
from weighhouse.core.signatures import SignatureError, recover
from weighhouse.core.statements import RECEIPT_KIND, STATES, Statement
from weighhouse.verify.chain import ChainReader
from weighhouse.verify.onchain import chain_checks
from weighhouse.verify.report import Report
from weighhouse.verify.revocations import revocation_check


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the reader knows from elsewhere. What is `None` is not compared.

    `opening` has `{"input": {"salt", "value"}, "output": {"salt", "value"}}`, either may be missing. `keys` is what the
    site lists at `/api/v1/worker-keys`.
    """

    chain_id: int | None = None
    market: str | None = None
    anchor: str | None = None
    operator_key: str | None = None
    operator_id: int | None = None
    model_id: int | None = None
    licence_id: int | None = None
    release_digest: str | None = None
    opening: dict[str, Any] | None = None
    keys: Any = None


def verify(document: bytes, expected: Expected | None = None, *, chain: ChainReader | None = None) -> Report:
    """Check an acceptance or a receipt. Raises NodeError where `chain` does not answer; all else is in the report.

    1. The bytes are the one form of a statement.
    2. The operator's key delegated to the worker key, the worker key signed, at a time that the delegation covers.
    3. What it says fits together, and fits what the reader expects.
    4. Its hashes are those of input and output, where these are given.
    5. Its proof leads to its root; the operator's key and the anchored root are those on chain, where a node is given.
    """
    report, wanted = Report(), expected or Expected()
    try:
        statement = Statement.from_bytes(document)
    except WeighhouseError as error:
        report.add("form", False, ok="", failed=error.message)
        return report
    report.add("form", True, ok=f"the bytes are a {statement.kind} as it was issued")
    operator_key = _signatures(report, statement)
    _expectations(report, statement, wanted, operator_key)
    _contents(report, statement)
    _openings(report, statement, wanted.opening)
    anchored = _inclusion(report, statement)
    if chain is None:
        skipped = "no node was named (--rpc): whether this key is the operator's, only the chain can say"
        report.add("chain", None, ok="", skipped=skipped)
    elif operator_key:
        found = chain_checks(report, statement, operator_key=operator_key, chain=chain, anchor=wanted.anchor)
        anchored = found and anchored
    else:
        report.add("chain", None, ok="", skipped="nobody signed, so there is nothing to ask about")
    revocation_check(report, statement, wanted.keys, operator_key=operator_key, anchored=anchored and chain is not None)
    return report


def _signatures(report: Report, statement: Statement) -> str:
    """The key that delegated; empty where it did not sign that."""
    delegation, message = statement.delegation.message, statement.signed.message
    operator_key = _signer(statement.delegation_typed.digest(), statement.delegation.signature)
    if operator_key != delegation["operatorKey"]:
        operator_key = ""
    report.add(
        "delegation",
        bool(operator_key),
        ok=f"{operator_key} says that {delegation['workerKey']} signs for operator {delegation['operatorId']}",
        failed=f"{delegation['operatorKey']} did not sign this delegation: something in it was changed",
    )
    worker = _signer(statement.typed.digest(), statement.signed.signature)
    report.add(
        "signature",
        worker == delegation["workerKey"],
        ok="the worker key of the delegation signed exactly this",
        failed="the worker key of the delegation did not sign this: something in it was changed",
    )
    issued_at = int(message["issuedAt"])
    covered = int(delegation["validFrom"]) <= issued_at < int(delegation["validUntil"])
    report.add(
        "term",
        covered and delegation["operatorId"] == message["operatorId"],
        ok="it was issued while the delegation held, for the same operator",
        failed="it was issued outside the delegation's time, or for another operator",
    )
    return operator_key


def _expectations(report: Report, statement: Statement, wanted: Expected, operator_key: str) -> None:
    message = statement.signed.message
    pairs: list[tuple[str, Any, Any]] = [
        ("chain id", wanted.chain_id, statement.domain.chain_id),
        ("market", wanted.market, statement.domain.verifying_contract),
        ("anchor contract", wanted.anchor, statement.delegation.message["receiptAnchor"]),
        ("operator key", wanted.operator_key, operator_key),
        ("operator id", wanted.operator_id, message["operatorId"]),
        ("model", wanted.model_id, message["modelId"]),
        ("licence", wanted.licence_id, message["licenceId"]),
        ("release", wanted.release_digest, message["releaseDigest"]),
    ]
    for name, expected, actual in pairs:
        if expected is not None:
            same = str(expected).lower() == str(actual).lower()
            report.add(name, same, ok=f"it is {actual}, as expected", failed=f"it is {actual}, not {expected}")
    if wanted.market is None:
        skipped = f"it names the market {statement.domain.verifying_contract}; compare with one you know (--market)"
        report.add("market", None, ok="", skipped=skipped)


def _contents(report: Report, statement: Statement) -> None:
    if statement.kind != RECEIPT_KIND:
        report.add(
            "start",
            int(statement.signed.message["issuedAt"]) <= int(statement.signed.message["startBefore"]),
            ok="it was issued while the job could still begin",
            failed="it was issued after the time until which the job could begin, so that it promises nothing",
        )
        return
    message, fingerprint = statement.signed.message, statement.fingerprint
    succeeded = message["state"] == "succeeded"
    fits = message["state"] in STATES and succeeded == (message["errorCode"] == "")
    fits = fits and (succeeded or (message["calls"] == 0 and message["outputHash"] == NOTHING))
    report.add(
        "state",
        fits,
        ok=f"the job {message['state']}{'' if succeeded else ' with ' + str(message['errorCode'])};"
        f" calls counted: {message['calls']}",
        failed="state, error, output and counted calls do not fit together",
    )
    if fingerprint is None:
        report.add(
            "fingerprint",
            message["fingerprintHash"] == NOTHING and not succeeded,
            ok="it names no run, and claims none",
            failed="what ran is missing from the document",
        )
        return
    same = "0x" + plain_hash(dict(fingerprint)).hex() == message["fingerprintHash"]
    report.add(
        "fingerprint",
        same and fingerprint.get("release_digest") in (None, message["releaseDigest"]),
        ok="the versions, device and isolation shown are those that were signed",
        failed="the versions, device and isolation shown are not those that were signed",
    )


def _openings(report: Report, statement: Statement, opening: Any) -> None:
    for name, member in (("input", "inputHash"), ("output", "outputHash")):
        if member not in statement.signed.message:
            continue
        part = opening.get(name) if isinstance(opening, dict) else None
        if part is None:
            report.add(name, None, ok="", skipped=f"no {name} was given (--opening): its hash says nothing yet")
            continue
        report.add(
            name,
            _opens(part, str(statement.signed.message[member])),
            ok=f"the {name} given is the one that was signed",
            failed=f"the {name} given, or its salt, is not the one that was signed",
        )


def _opens(part: Any, committed: str) -> bool:
    try:
        return salted_hash(bytes.fromhex(part["salt"].removeprefix("0x")), part["value"]) == committed
    except (WeighhouseError, AttributeError, KeyError, TypeError, ValueError):
        return False


def _inclusion(report: Report, statement: Statement) -> bool:
    if statement.kind != RECEIPT_KIND:
        return False
    anchoring = statement.anchoring
    if anchoring is None:
        skipped = "it was taken before its batch was anchored; take it from the site again later"
        return report.add("inclusion", None, ok="", skipped=skipped)
    proof = [bytes.fromhex(word[2:]) for word in anchoring.proof]
    leads = "0x" + proof_root(statement.typed.digest(), proof).hex() == anchoring.root
    return report.add(
        "inclusion",
        leads,
        ok=f"the proof leads from this receipt to the root {anchoring.root}",
        failed="the proof does not lead from this receipt to its root",
    )


def _signer(digest: bytes, signature: str) -> str:
    try:
        return recover(digest, signature)
    except SignatureError:
        return ""
