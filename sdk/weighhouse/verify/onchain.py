"""What only the chain can say: whose key it is, which model the licence is for, what was anchored."""

from weighhouse.core.eip712 import Message
from weighhouse.core.statements import RECEIPT_KIND, Statement
from weighhouse.verify.chain import ChainReader, NodeRefused, address_of, word
from weighhouse.verify.report import Report

_OPERATOR = "operator(uint256)"
_PLAN = "plan(uint256)"
_VERIFY = "verify(uint256,bytes32,bytes32,bytes32[])"
_ANCHORED = "anchored(uint256,bytes32)"
_MARKET = "market()"

# The words of a plan: twelve of its terms, five of how it sells.
_PLAN_WORDS, _MODEL, _CALLS, _OPERATOR_ID, _SOLD = 17, 0, 5, 8, 13
_ANYBODY = "any operator may serve that (--operator says which one you mean)"


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
    anchored_at = _anchor_check(report, statement, chain=chain)
    # The document names its anchor contract itself: one that the reader does not know may be the forger's own.
    is_known = anchor is not None and anchor.lower() == str(statement.delegation.message["receiptAnchor"]).lower()
    vouched_at = anchored_at if is_known else None
    _operator_check(report, statement, operator_key=operator_key, chain=chain, vouched_at=vouched_at)
    _licence_check(report, statement, chain=chain)
    _block_check(report, statement, chain=chain)
    return anchored_at is not None


def _operator_check(
    report: Report, statement: Statement, *, operator_key: str, chain: ChainReader, vouched_at: int | None
) -> None:
    """The key now; of a receipt that the operator vouched for, by anchoring it at `vouched_at`, also the key of then.

    Whoever has an old key chooses freely which block a document names. To anchor, the key of that moment is needed. So
    a job that was accepted under one key and signed for under the next counts by the key that was there to anchor it.
    """
    operator_id = int(statement.delegation.message["operatorId"])
    now = _operator_key(statement, operator_id, chain)
    if now == operator_key:
        report.add("operator", True, ok=f"the market has {operator_key} as the key of operator {operator_id}")
        return
    has = f"the market has {now or 'no key'} as the key of operator {operator_id}, not {operator_key}"
    if vouched_at is None:
        why = "an older key counts only where the receipt is anchored in the anchor contract that you know (--anchor)"
        report.add("operator", False, ok="", failed=f"{has}; {why}")
        return
    when = _held_when(statement, operator_key, chain, vouched_at)
    report.add(
        "operator",
        bool(when),
        ok=f"the market had {operator_key} as the key of operator {operator_id} when {when}, and the operator anchored "
        "the receipt",
        failed=f"{has}, nor was it when the job was accepted or the receipt anchored",
    )


def _held_when(statement: Statement, operator_key: str, chain: ChainReader, anchored_at: int) -> str:
    """When the operator had this key: as the job was accepted, or as the receipt was anchored; empty for neither."""
    operator_id = int(statement.delegation.message["operatorId"])
    accepted = int(statement.signed.message["checkedBlock"])
    if _block_hash(chain, accepted) is None:
        return ""
    if _operator_key(statement, operator_id, chain, accepted) == operator_key:
        return "the job was accepted"
    # The contract notes the time of anchoring alone, and in one second a chain may make many blocks. So the key counts
    # that the operator had before that second or after it.
    before = chain.block_at(anchored_at - 1, after=accepted)
    held = _operator_key(statement, operator_id, chain, before) == operator_key
    if not held:
        after = chain.block_at(anchored_at, after=before)
        held = _operator_key(statement, operator_id, chain, after) == operator_key
    return "the receipt was anchored" if held else ""


def _operator_key(statement: Statement, operator_id: int, chain: ChainReader, block: int | None = None) -> str:
    """Empty where the operator is disabled, or where there is none."""
    try:
        words = chain.words(statement.domain.verifying_contract, _OPERATOR, [word(operator_id)], block=block)
    except NodeRefused:
        return ""
    if len(words) != 4 or any(words[3]):
        return ""
    return address_of(words[1])


def _licence_check(report: Report, statement: Statement, *, chain: ChainReader) -> None:
    """A licence's id is its plan's and a number; the plan names the model and, where it is metered, the operator.

    Anybody may register as an operator and anchor what he likes: his signature alone says nothing of a licence.
    """
    message = statement.signed.message
    plan_id = int(message["licenceId"]) >> 32
    if message["licenceId"] == 0:
        report.add("plan", None, ok="", skipped=f"the job ran under no licence, as a trial does; {_ANYBODY}")
        return
    try:
        words = chain.words(statement.domain.verifying_contract, _PLAN, [word(plan_id)])
    except NodeRefused:
        words = []
    plan = [int.from_bytes(part) for part in words] if len(words) == _PLAN_WORDS else []
    wrong = _plan_fault(message, plan)
    served = f"only operator {message['operatorId']} serves it" if plan and plan[_CALLS] else _ANYBODY
    report.add(
        "plan",
        not wrong,
        ok=f"the licence was sold under plan {plan_id}, which is a plan of model {message['modelId']}; {served}",
        failed=wrong,
    )


def _plan_fault(message: Message, plan: list[int]) -> str:
    """What speaks against a licence of this plan, of which nothing came where there is none; empty for nothing."""
    plan_id, serial = divmod(int(message["licenceId"]), 1 << 32)
    if not plan or plan[_MODEL] != message["modelId"]:
        return f"the licence's plan {plan_id} is none of model {message['modelId']}"
    if not 1 <= serial <= plan[_SOLD]:
        return f"plan {plan_id} has sold {plan[_SOLD]} licences, and none with the number {serial}"
    if plan[_CALLS] and plan[_OPERATOR_ID] != message["operatorId"]:
        return f"only operator {plan[_OPERATOR_ID]} serves the metered plan {plan_id}, not {message['operatorId']}"
    return ""


def _block_check(report: Report, statement: Statement, *, chain: ChainReader) -> None:
    number = int(statement.signed.message["checkedBlock"])
    found = _block_hash(chain, number)
    report.add(
        "checked block",
        # A re-organisation may have removed it since, which is nobody's lie.
        True if found == statement.signed.message["checkedBlockHash"] else None,
        ok=f"the licence was checked at block {number}, which is in the chain",
        skipped=f"block {number}, at which the licence was checked, is not in the chain: removed since, or never there",
    )


def _block_hash(chain: ChainReader, number: int) -> str | None:
    return chain.block_hash(number) if number < 2**63 else None


def _anchor_check(report: Report, statement: Statement, *, chain: ChainReader) -> int | None:
    """When the receipt was anchored, in unix seconds of block time; `None` where it was not."""
    anchoring = statement.anchoring
    if statement.kind != RECEIPT_KIND:
        return None
    if anchoring is None:
        report.add("anchored", None, ok="", skipped="the document holds no proof yet")
        return None
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
        report.add("anchored", False, ok="", failed=f"{contract} is no ReceiptAnchor on this chain")
        return None
    holds = report.add(
        "anchored",
        right_market and verified == [word(1)],
        ok=f"the operator anchored it at {anchored_at} (unix seconds) with {count} receipts: it cannot deny it",
        failed=f"{contract} does not know the root for this operator, or belongs to another market",
    )
    return anchored_at if holds else None
