"""What the owners of models may withdraw: all credits less all withdrawals, against the market's `credit`."""

from collections import Counter
from collections.abc import Iterator

from chain.audit.block import AuditBlock, Chunk
from chain.audit.registry import register
from chain.audit.report import Difference
from chain.bindings import licence_market, model_registry
from chain.fields import UINT256_MAX
from marketplace.licences import models

Pairs = Counter[tuple[int, str]]


@register("credits of models")
def model_credits_audit(block: AuditBlock) -> Iterator[Difference]:
    """Every model in every token that one of its plans is priced in, or that ever came to it."""
    (count,) = block.ask_all([model_registry(block.book).model_count()])
    market = licence_market(block.book)
    for chunk in block.chunks(range(1, count + 1)):
        pairs = _pairs(block, chunk)
        answers = block.ask_all([market.credit(model_id, token) for model_id, token in pairs])
        for ((model_id, token), amount), answer in zip(pairs.items(), answers, strict=True):
            subject = f"credit of model {model_id} in {token}"
            yield from block.compare(models.Withdrawal, subject, database={"amount": amount}, chain={"amount": answer})


def _pairs(block: AuditBlock, chunk: Chunk) -> Pairs:
    plans = {"plan_id__range": (chunk.low << 32, min((chunk.high + 1 << 32) - 1, UINT256_MAX))}
    of_model = {"model_id__range": (chunk.low, chunk.high)}
    pairs: Pairs = Counter()
    for model_id, token in block.rows_of(models.Plan).filter(**of_model).values_list("model_id", "token").iterator():
        pairs[model_id, token] += 0
    for row in block.rows_of(models.IncomeSplit).filter(**plans).iterator():
        pairs[row.plan_id >> 32, row.token] += row.publisher
    for credit in block.rows_of(models.AncestorCredit).filter(**of_model).iterator():
        pairs[credit.model_id, credit.token] += credit.amount
    for paid in block.rows_of(models.Withdrawal).filter(**of_model).iterator():
        pairs[paid.model_id, paid.token] -= paid.amount
    return pairs
