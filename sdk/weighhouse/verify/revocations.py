"""Worker keys that their operator took back, as the site lists them."""

from typing import Any

from weighhouse.core.errors import WeighhouseError
from weighhouse.core.signatures import recover
from weighhouse.core.statements import REVOCATION, Signed, Statement, message_parse, revocation_typed
from weighhouse.verify.report import Report


def revocation_check(report: Report, statement: Statement, keys: Any, *, operator_key: str, anchored: bool) -> None:
    """A revoked key vouches only for what was issued before, and what the operator anchored.

    Whoever has the key may write any time into a statement; an anchor is the operator's own word that it is one of his.
    """
    if keys is None:
        skipped = "no list of worker keys was given (--keys): whether the key was taken back is not known"
        report.add("revocation", None, ok="", skipped=skipped)
        return
    try:
        found = _revocation_of(statement, keys, operator_key=operator_key)
    except (WeighhouseError, KeyError, TypeError, AttributeError):
        report.add("revocation", False, ok="", failed="the list of worker keys cannot be read")
        return
    if found is None:
        report.add("revocation", True, ok="the list given does not take this worker key back")
        return
    before = int(statement.signed.message["issuedAt"]) < int(found.message["revokedAt"])
    report.add(
        "revocation",
        before and anchored,
        ok="the worker key was taken back later, and the operator anchored this receipt",
        failed="the operator took this worker key back, and nothing shows that this was issued before",
    )


def _revocation_of(statement: Statement, keys: Any, *, operator_key: str) -> Signed | None:
    """The operator's revocation of the statement's worker key. What others signed counts for nothing."""
    for key in keys["results"]:
        given = key["revocation"]
        if given is None:
            continue
        revocation = Signed(message_parse(REVOCATION, given["message"], place="revocation"), given["signature"])
        same_key = revocation.message["workerKey"] == statement.delegation.message["workerKey"]
        same_operator = revocation.message["operatorId"] == statement.delegation.message["operatorId"]
        if not (same_key and same_operator):
            continue
        digest = revocation_typed(statement.domain, revocation.message).digest()
        if recover(digest, revocation.signature) == operator_key:
            return revocation
    return None
