"""Operators as the market has them, and what their payees and the treasury may withdraw."""

from collections import Counter
from collections.abc import Iterator

from chain.audit.block import AuditBlock, Chunk
from chain.audit.registry import register
from chain.audit.report import Difference
from chain.bindings import licence_market
from marketplace.licences import models

# The ids are a plain integer column.
_TOP = 2**63 - 1
_ACCOUNTS_PER_CALL = 400


@register("operators")
def operators_audit(block: AuditBlock) -> Iterator[Difference]:
    """Owner, key, payee and state of every operator that was ever registered."""
    (count,) = block.ask_all([licence_market(block.book).operator_count()])
    for chunk in block.chunks(range(1, count + 1), top=_TOP):
        yield from _operators(block, chunk)


@register("credits of accounts")
def account_credits_audit(block: AuditBlock) -> Iterator[Difference]:
    """What was credited less what was withdrawn, for every account and token. Needs all rows: not in a sample."""
    if block.sample is not None:
        return
    credits: Counter[tuple[str, str]] = Counter()
    for row in block.rows_of(models.IncomeSplit).iterator():
        credits[row.treasury, row.token] += row.fee
        credits[row.payee, row.token] += row.service
    for paid in block.rows_of(models.AccountWithdrawal).iterator():
        credits[paid.account, paid.token] -= paid.amount
    keys = list(credits)
    market = licence_market(block.book)
    for start in range(0, len(keys), _ACCOUNTS_PER_CALL):
        part = keys[start : start + _ACCOUNTS_PER_CALL]
        answers = block.ask_all([market.account_credit(account, token) for account, token in part])
        for (account, token), answer in zip(part, answers, strict=True):
            subject = f"credit of {account} in {token}"
            database = {"amount": credits[account, token]}
            yield from block.compare(models.IncomeSplit, subject, database=database, chain={"amount": answer})


def _operators(block: AuditBlock, chunk: Chunk) -> Iterator[Difference]:
    within = {"operator_id__range": (chunk.low, chunk.high)}
    rows = {row.operator_id: row for row in block.rows_of(models.Operator).filter(**within)}
    newest = {row.operator_id: row for row in block.rows_of(models.OperatorChange).filter(**within)}
    disabled = set(block.rows_of(models.OperatorDisablement).filter(**within).values_list("operator_id", flat=True))
    answers = block.ask_all([licence_market(block.book).operator(operator_id) for operator_id in chunk.ids])
    for operator_id, answer in zip(chunk.ids, answers, strict=True):
        row, subject = rows.pop(operator_id, None), f"operator {operator_id}"
        if row is None:
            yield block.missing(models.Operator, subject, f"registered by {answer.owner}")
            continue
        now = newest.pop(operator_id, row)
        tables = {"owner": models.Operator, "key": type(now), "payee": type(now)}
        yield from block.compare(
            tables | {"is_disabled": models.OperatorDisablement},
            subject,
            database={
                "owner": row.owner,
                "key": now.key,
                "payee": now.payee,
                "is_disabled": operator_id in disabled,
            },
            chain={name: getattr(answer, name) for name in ("owner", "key", "payee", "is_disabled")},
        )
    for operator_id in rows:
        yield block.surplus(models.Operator, f"operator {operator_id}")
    for operator_id in (newest.keys() | disabled) - set(chunk.ids):
        yield block.surplus(models.OperatorChange, f"operator {operator_id}")
