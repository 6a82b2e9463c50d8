"""What only the chain can say: whose key it is, which model the licence is for, what was anchored."""

from weighhouse.core.statements import RECEIPT_KIND, Statement
from weighhouse.verify.chain import ChainReader, NodeRefused, address_of, word
from weighhouse.verify.report import Report

_OPERATOR = "operator(uint256)"
_PLAN = "plan(uint256)"
_VERIFY = "verify(uint256,bytes32,bytes32,bytes32[])"
_ANCHORED = "anchored(uint256,bytes32)"
_MARKET = "market()"


def chain_checks(
    report: Report, statement: Statement, *, operator_key: str, chain: ChainReader, anchor: str | None = None
) -> bool:
    """Ask the node; returns whether the receipt is anchored. Raises NodeError.

    `anchor` is the anchor contract that the reader knows.
    """
    found = chain.chain_id()
    if not report.add(
        "chain",
        found == statement.domain.chain_id,
        ok=f"the node is of chain {found}",
        failed=f"the node is of chain {found}, the document of chain {statement.domain.chain_id}",
    ):
        return False
    anchored = _anchor_check(report, statement, chain=chain)
    # The document names its anchor contract itself: one that the reader does not know may be the forger's own.
    is_known = anchor is not None and anchor.lower() == str(statement.delegation.message["receiptAnchor"]).lower()
    _operator_check(report, statement, operator_key=operator_key, chain=chain, vouched=anchored and is_known)
    _licence_check(report, statement, chain=chain)
    _block_check(report, statement, chain=chain)
    return anchored


def _operator_check(
    report: Report, statement: Statement, *, operator_key: str, chain: ChainReader, vouched: bool
) -> None:
    """The key now; of a receipt that the operator vouched for, by anchoring it, also the key of then.

    Whoever has an old key chooses freely which block a document names. To anchor, the key of that moment is needed.
    """
    operator_id = int(statement.delegation.message["operatorId"])
    now = _operator_key(statement, operator_id, chain, "latest")
    if now == operator_key:
        report.add("operator", True, ok=f"the market has {operator_key} as the key of operator {operator_id}")
        return
    has = f"the market has {now or 'no key'} as the key of operator {operator_id}, not {operator_key}"
    if not vouched:
        why = "an older key counts only where the receipt is anchored in the anchor contract that you know (--anchor)"
        report.add("operator", False, ok="", failed=f"{has}; {why}")
        return
    then = _operator_key(statement, operator_id, chain, hex(int(statement.signed.message["checkedBlock"])))
    report.add(
        "operator",
        then == operator_key,
        ok=f"the market had {operator_key} as the key of operator {operator_id} when the job was accepted, and the "
        "operator anchored the receipt",
        failed=f"{has}, nor was it when the job was accepted",
    )


def _operator_key(statement: Statement, operator_id: int, chain: ChainReader, block: str) -> str:
    """Empty where the operator is disabled, or where the node cannot say."""
    try:
        words = chain.words(statement.domain.verifying_contract, _OPERATOR, [word(operator_id)], block=block)
    except NodeRefused:
        return ""
    if len(words) != 4 or any(words[3]):
        return ""
    return address_of(words[1])


def _licence_check(report: Report, statement: Statement, *, chain: ChainReader) -> None:
    """A licence's id is its plan's and a serial number; the plan names the model."""
    message = statement.signed.message
    plan_id = int(message["licenceId"]) >> 32
    if message["licenceId"] == 0:
        report.add("plan", None, ok="", skipped="the job ran under no licence, as a trial does")
        return
    try:
        words = chain.words(statement.domain.verifying_contract, _PLAN, [word(plan_id)])
    except NodeRefused:
        words = []
    report.add(
        "plan",
        bool(words) and words[0] == word(int(message["modelId"])),
        ok=f"the licence is of plan {plan_id}, which is a plan of model {message['modelId']}",
        failed=f"the licence's plan {plan_id} is none of model {message['modelId']}",
    )


def _block_check(report: Report, statement: Statement, *, chain: ChainReader) -> None:
    number = int(statement.signed.message["checkedBlock"])
    found = chain.block_hash(number) if number < 2**63 else None
    report.add(
        "checked block",
        # A re-organisation may have removed it since, which is nobody's lie.
        True if found == statement.signed.message["checkedBlockHash"] else None,
        ok=f"the licence was checked at block {number}, which is in the chain",
        skipped=f"block {number}, at which the licence was checked, is not in the chain: removed since, or never there",
    )


def _anchor_check(report: Report, statement: Statement, *, chain: ChainReader) -> bool:
    anchoring = statement.anchoring
    if statement.kind != RECEIPT_KIND:
        return False
    if anchoring is None:
        return report.add("anchored", None, ok="", skipped="the document holds no proof yet")
    contract = str(statement.delegation.message["receiptAnchor"])
    operator_id, root = word(int(statement.delegation.message["operatorId"])), word(anchoring.root)
    try:
        market = chain.words(contract, _MARKET, [])
        batch = chain.words(contract, _ANCHORED, [operator_id, root])
        proof = [word(len(anchoring.proof)), *(word(part) for part in anchoring.proof)]
        head = [operator_id, root, statement.typed.digest(), word(4 * 32)]
        verified = chain.words(contract, _VERIFY, [*head, *proof])
        right_market = address_of(market[0]) == statement.domain.verifying_contract
        anchored_at, count = (int.from_bytes(part) for part in batch)
    except (NodeRefused, IndexError, ValueError):
        return report.add("anchored", False, ok="", failed=f"{contract} is no ReceiptAnchor on this chain")
    return report.add(
        "anchored",
        right_market and verified == [word(1)],
        ok=f"the operator anchored it at {anchored_at} (unix seconds) with {count} receipts: it cannot deny it",
        failed=f"{contract} does not know the root for this operator, or belongs to another market",
    )
