"""What workers and operators sign about jobs: acceptance, receipt, delegation, revocation. Pure.

- An **acceptance** says that the site took a request on, and what it will run. It comes with the 202.
- A **receipt** says how a job ended: with a result, or with which error.
- A **delegation** by the operator's key names the worker key that may sign both, from one time to another, and where
  receipts are anchored. A **revocation** by the same key ends it early.

A statement is what somebody said and can be held to. It proves no computation. Typed data of EIP-712; times in unix
seconds of the site's clock.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from weighhouse.core import canonical
from weighhouse.core.eip712 import Domain, Members, Message, TypedData
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.merkle import MAX_PROOF
from weighhouse.core.signatures import is_checksummed

ACCEPTANCE_KIND = "weighhouse.acceptance/1"
RECEIPT_KIND = "weighhouse.receipt/1"
STATES = ("succeeded", "failed", "cancelled", "expired")

_NUMBER = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_WORD = re.compile(r"0x[0-9a-f]{64}")
_MAX_TEXT = 200

_SUBJECT: Members = (
    ("jobId", "bytes32"),
    ("operatorId", "uint256"),
    ("licenceId", "uint256"),
    ("modelId", "uint256"),
    ("releaseDigest", "bytes32"),
    ("task", "string"),
    ("inputHash", "bytes32"),
    ("checkedBlock", "uint256"),
    ("checkedBlockHash", "bytes32"),
    ("acceptedAt", "uint256"),
)
ACCEPTANCE: Members = (*_SUBJECT, ("calls", "uint256"), ("startBefore", "uint256"), ("issuedAt", "uint256"))
RECEIPT: Members = (
    *_SUBJECT,
    ("state", "string"),
    ("errorCode", "string"),
    ("outputHash", "bytes32"),
    ("fingerprintHash", "bytes32"),
    ("calls", "uint256"),
    ("startedAt", "uint256"),
    ("finishedAt", "uint256"),
    ("issuedAt", "uint256"),
)
DELEGATION: Members = (
    ("operatorId", "uint256"),
    # It names its own signer: a changed byte would else be a delegation by some unknown key.
    ("operatorKey", "address"),
    ("workerKey", "address"),
    ("receiptAnchor", "address"),
    ("validFrom", "uint256"),
    ("validUntil", "uint256"),
)
REVOCATION: Members = (("operatorId", "uint256"), ("workerKey", "address"), ("revokedAt", "uint256"))

_PRIMARY = {ACCEPTANCE_KIND: ("Acceptance", ACCEPTANCE), RECEIPT_KIND: ("Receipt", RECEIPT)}


class StatementError(WeighhouseError):
    """A document is not a statement in the one form that is issued. `data["place"]` says where."""

    code = "statement.invalid"


def statement_domain(chain_id: int, market: str) -> Domain:
    """The domain of everything here: the market at which the operator is registered. Not that of market requests."""
    return Domain("Weighhouse receipts", "1", chain_id, market)


def typed(domain: Domain, primary_type: str, members: Members, message: Message) -> TypedData:
    """One of the four statements, ready to be hashed and signed."""
    return TypedData(domain, primary_type, members, message)


def delegation_typed(domain: Domain, message: Message) -> TypedData:
    return TypedData(domain, "Delegation", DELEGATION, message)


def revocation_typed(domain: Domain, message: Message) -> TypedData:
    return TypedData(domain, "Revocation", REVOCATION, message)


def job_word(job_id: UUID) -> str:
    """A job's id as a member `jobId`: 16 bytes of zero, then the UUID."""
    return "0x" + (bytes(16) + job_id.bytes).hex()


def message_json(members: Members, message: Message) -> dict[str, str]:
    """A message as documents hold it: integers as decimal text."""
    return {name: str(message[name]) for name, _ in members}


def message_parse(members: Members, value: Any, *, place: str) -> dict[str, int | str]:
    """A message of a document. Raises StatementError for any other form than `message_json` writes."""
    found = _object(value, {name for name, _ in members}, place)
    return {name: _value_parse(kind, found[name], f"{place}.{name}") for name, kind in members}


@dataclass(frozen=True, slots=True)
class Signed:
    """A message and the signature over it."""

    message: Mapping[str, int | str]
    signature: str


@dataclass(frozen=True, slots=True)
class Anchoring:
    """Where a receipt stands in a batch that its operator anchored: words as `0x` hex."""

    root: str
    proof: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An acceptance or a receipt with all that is needed to check it, but the chain. `kind` says which."""

    kind: str
    domain: Domain
    signed: Signed
    delegation: Signed
    # Of receipts: what ran, as its hash in the message; `None` where nothing ran.
    fingerprint: Mapping[str, Any] | None = None
    anchoring: Anchoring | None = None

    @property
    def typed(self) -> TypedData:
        return TypedData(self.domain, *_PRIMARY[self.kind], self.signed.message)

    @property
    def delegation_typed(self) -> TypedData:
        return delegation_typed(self.domain, self.delegation.message)

    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "kind": self.kind,
            "chainId": str(self.domain.chain_id),
            "market": self.domain.verifying_contract,
            "message": message_json(_PRIMARY[self.kind][1], self.signed.message),
            "signature": self.signed.signature,
            "delegation": {
                "message": message_json(DELEGATION, self.delegation.message),
                "signature": self.delegation.signature,
            },
        }
        if self.kind == RECEIPT_KIND:
            body["fingerprint"] = None if self.fingerprint is None else dict(self.fingerprint)
            body["anchor"] = None if self.anchoring is None else _anchoring_json(self.anchoring)
        return body

    def to_bytes(self) -> bytes:
        """The document: canonical JSON, of which no byte can be changed. Raises JsonError."""
        return canonical.dumps(self.json())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises StatementError and JsonError for anything that `to_bytes` would not have written."""
        value = canonical.loads(data)
        statement = cls.from_json(value)
        if canonical.dumps(value) != data:
            raise StatementError(
                "The file is not in the form in which it was issued (canonical JSON, no line break at the end). It was"
                " edited or reformatted; take it from the site again.",
                place="",
            )
        return statement

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises StatementError. Signatures are not looked at."""
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in _PRIMARY:
            raise StatementError("This is no receipt and no acceptance of a kind that is known here.", place="kind")
        names = {"kind", "chainId", "market", "message", "signature", "delegation"}
        body = _object(value, names | ({"fingerprint", "anchor"} if kind == RECEIPT_KIND else set()), "")
        chain_id = _value_parse("uint256", body["chainId"], "chainId")
        market = _value_parse("address", body["market"], "market")
        given = _object(body["delegation"], {"message", "signature"}, "delegation")
        delegation = message_parse(DELEGATION, given["message"], place="delegation.message")
        return cls(
            kind=kind,
            domain=statement_domain(int(chain_id), str(market)),
            signed=Signed(message_parse(_PRIMARY[kind][1], body["message"], place="message"), body["signature"]),
            delegation=Signed(delegation, given["signature"]),
            fingerprint=_fingerprint_parse(body.get("fingerprint")),
            anchoring=_anchoring_parse(body.get("anchor")),
        )


def _anchoring_json(anchoring: Anchoring) -> dict[str, Any]:
    return {"root": anchoring.root, "proof": list(anchoring.proof)}


def _anchoring_parse(value: Any) -> Anchoring | None:
    if value is None:
        return None
    body = _object(value, {"root", "proof"}, "anchor")
    proof = body["proof"]
    if not isinstance(proof, list) or len(proof) > MAX_PROOF:
        raise StatementError(f"A proof is a list of at most {MAX_PROOF} words.", place="anchor.proof")
    words = [str(_value_parse("bytes32", word, "anchor.proof")) for word in proof]
    return Anchoring(str(_value_parse("bytes32", body["root"], "anchor.root")), tuple(words))


def _fingerprint_parse(value: Any) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise StatementError("The fingerprint is an object, or null.", place="fingerprint")
    return value


def _object(value: Any, names: set[str], place: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        expected = ", ".join(sorted(names))
        raise StatementError(f"Expected an object with {expected} at {place or 'the top'}.", place=place)
    return value


def _value_parse(kind: str, value: Any, place: str) -> int | str:
    """A value in the one form that it is written in."""
    if isinstance(value, str):
        if kind == "uint256" and _NUMBER.fullmatch(value) and int(value) < 2**256:
            return int(value)
        if kind == "bytes32" and _WORD.fullmatch(value):
            return value
        if kind == "address" and is_checksummed(value):
            return value
        if kind == "string" and len(value) <= _MAX_TEXT:
            return value
    raise StatementError(f"Expected {kind} at {place}, in the form in which it is issued.", place=place)
