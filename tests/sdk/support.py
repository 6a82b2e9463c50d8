"""A receipt and an acceptance as an operator and its worker key would sign them, without a site."""

from dataclasses import replace
from uuid import UUID

from weighhouse.core import statements
from weighhouse.core.commitments import NOTHING, input_value, output_value, plain_hash, salted_hash
from weighhouse.core.merkle import MerkleTree
from weighhouse.core.signatures import key_address, sign
from weighhouse.core.statements import ACCEPTANCE_KIND, RECEIPT_KIND, Anchoring, Signed, Statement, statement_domain

OPERATOR_KEY, WORKER_KEY, STRANGER_KEY = (bytes([number]) * 32 for number in (0x11, 0x22, 0x33))
MARKET, ANCHOR = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512", "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0"
DOMAIN = statement_domain(31337, MARKET)
SALTS = {"input": b"\x01" * 32, "output": b"\x02" * 32}
INPUT = input_value(["A weigh house certified goods."], {"normalise": True, "pooling": "mean", "truncate": True})
OUTPUT = output_value([[0.25, -1e-7, 3.0]])
DIGEST = "0x" + "ab" * 32
FINGERPRINT = {"device": "cpu", "dtype": "float32", "release_digest": DIGEST, "seed": 0, "batches": [[1, 8]]}
ISSUED_AT = 1_795_000_010

DELEGATION = {
    "operatorId": 1,
    "operatorKey": key_address(OPERATOR_KEY),
    "workerKey": key_address(WORKER_KEY),
    "receiptAnchor": ANCHOR,
    "validFrom": ISSUED_AT - 1000,
    "validUntil": ISSUED_AT + 1000,
}
_SUBJECT = {
    "jobId": statements.job_word(UUID("7a1e0c55-1111-4222-8333-444455556666")),
    "operatorId": 1,
    "licenceId": (3 << 32) + 1,
    "modelId": 2,
    "releaseDigest": DIGEST,
    "task": "feature-extraction",
    "inputHash": salted_hash(SALTS["input"], INPUT),
    "checkedBlock": 17,
    "checkedBlockHash": "0x" + "cd" * 32,
    "acceptedAt": ISSUED_AT - 10,
}
RECEIPT = {
    **_SUBJECT,
    "state": "succeeded",
    "errorCode": "",
    "outputHash": salted_hash(SALTS["output"], OUTPUT),
    "fingerprintHash": "0x" + plain_hash(FINGERPRINT).hex(),
    "calls": 1,
    "startedAt": ISSUED_AT - 5,
    "finishedAt": ISSUED_AT - 1,
    "issuedAt": ISSUED_AT,
}
FAILED = {
    **RECEIPT,
    "state": "failed",
    "errorCode": "runner.crashed",
    "outputHash": NOTHING,
    "fingerprintHash": NOTHING,
    "calls": 0,
}
ACCEPTANCE = {**_SUBJECT, "calls": 1, "startBefore": ISSUED_AT + 900, "issuedAt": ISSUED_AT}
OPENING = {
    "input": {"salt": "0x" + SALTS["input"].hex(), "value": INPUT},
    "output": {"salt": "0x" + SALTS["output"].hex(), "value": OUTPUT},
}


def delegated(changes=None, *, key=OPERATOR_KEY, domain=DOMAIN) -> Signed:
    message = DELEGATION | {"operatorKey": key_address(key)} | (changes or {})
    return Signed(message, sign(statements.delegation_typed(domain, message).digest(), key))


def receipt(changes=None, *, key=WORKER_KEY, delegation=None, fingerprint=FINGERPRINT, domain=DOMAIN) -> Statement:
    return _signed(RECEIPT_KIND, RECEIPT | (changes or {}), key, delegation, fingerprint, domain)


def failed_receipt(**changes) -> Statement:
    return _signed(RECEIPT_KIND, FAILED | changes, WORKER_KEY, None, None, DOMAIN)


def acceptance(changes=None, *, key=WORKER_KEY) -> Statement:
    return _signed(ACCEPTANCE_KIND, ACCEPTANCE | (changes or {}), key, None, None, DOMAIN)


def anchored(statement: Statement, *, among: int = 5) -> Statement:
    """The statement with a proof, in the third place of a batch."""
    digests = [bytes([number]) * 32 for number in range(among)]
    digests[2] = statement.typed.digest()
    tree = MerkleTree.of(digests)
    proof = tuple("0x" + word.hex() for word in tree.proof(2))
    return replace(statement, anchoring=Anchoring("0x" + tree.root.hex(), proof))


def revoked(at: int, *, key=OPERATOR_KEY, worker=DELEGATION["workerKey"]) -> dict:
    """A list of worker keys in which one was taken back."""
    message = {"operatorId": 1, "workerKey": worker, "revokedAt": at}
    signature = sign(statements.revocation_typed(DOMAIN, message).digest(), key)
    body = {"message": statements.message_json(statements.REVOCATION, message), "signature": signature}
    return {"results": [{"revocation": None}, {"revocation": body}]}


def _signed(kind, message, key, delegation, fingerprint, domain) -> Statement:
    unsigned = Statement(
        kind=kind,
        domain=domain,
        signed=Signed(message, ""),
        delegation=delegation or delegated(domain=domain),
        fingerprint=fingerprint if kind == RECEIPT_KIND else None,
    )
    return replace(unsigned, signed=Signed(message, sign(unsigned.typed.digest(), key)))
