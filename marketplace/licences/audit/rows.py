"""Which rows each log of the market makes."""

from collections.abc import Mapping, Sequence
from typing import Any

from chain.audit.decode import AuditedLog
from chain.audit.registry import RowAudit, rows_register
from marketplace.licences import models

MARKET = "LicenceMarket"
_PLAN_BITS = 32
Rows = Sequence[Mapping[str, Any]]


def _renamed(*same: str, **fields: str) -> Any:
    """One row with the arguments of the log; `fields` name those that are called otherwise in the table."""

    def make(log: AuditedLog) -> Rows:
        return [{name: log.args[name] for name in same} | {name: log.args[arg] for name, arg in fields.items()}]

    return make


def _plan(log: AuditedLog) -> Rows:
    terms = log.args["terms"]
    names = ("token", "price", "period", "vesting", "calls", "supply", "flags")
    shares = {"fee_bps": "feeBps", "operator_id": "operatorId", "service_bps": "serviceBps", "entry_bps": "entryBps"}
    row = {name: terms[name] for name in names} | {name: terms[arg] for name, arg in shares.items()}
    about = {"plan_id": log.args["planId"], "model_id": terms["modelId"], "plan_hash": log.args["planHash"]}
    return [row | about]


def _licence(log: AuditedLog) -> Rows:
    names = ("holder", "payer", "price", "entry", "calls")
    licence_id = log.args["licenceId"]
    ids = {
        "licence_id": licence_id,
        "plan_id": licence_id >> _PLAN_BITS,
        "model_id": licence_id >> _PLAN_BITS >> _PLAN_BITS,
    }
    return [{name: log.args[name] for name in names} | ids | {"expires_at": log.args["expiry"]}]


def _ended(*same: str, **fields: str) -> Any:
    """A row about the end of a licence, which names its plan too."""
    copied = _renamed(*same, licence_id="licenceId", **fields)

    def make(log: AuditedLog) -> Rows:
        return [row | {"plan_id": log.args["licenceId"] >> _PLAN_BITS} for row in copied(log)]

    return make


def _held(log: AuditedLog) -> Rows:
    licence_id = log.args["licenceId"]
    vested = log.args["amount"] if log.name == "IncomeVested" else 0
    return [{"licence_id": licence_id, "plan_id": licence_id >> _PLAN_BITS, "vested": vested}]


def _one(model: type[models.FromEvent], event: str, make: Any, **options: Any) -> RowAudit:
    return RowAudit(model, {(MARKET, event): make}, **options)


rows_register(
    _one(models.Plan, "PlanAdded", _plan),
    _one(models.PlanRetirement, "PlanRetired", _renamed(plan_id="planId")),
    _one(models.Licence, "LicenceBought", _licence),
    _one(
        models.LicenceRenewal,
        "LicenceRenewed",
        _renamed("payer", "price", "entry", "amount", "calls", licence_id="licenceId", expires_at="expiry"),
    ),
    _one(models.LicenceTransfer, "Transfer", _renamed(licence_id="tokenId", from_address="from", to_address="to")),
    _one(models.LicenceCancellation, "LicenceCancelled", _ended("holder", settle_at="settleAt")),
    _one(models.LicenceSettlement, "LicenceSettled", _ended("holder", "refund", to_address="to")),
    # What is held and taken follows from the rows before: `licences` works it out for each licence.
    RowAudit(
        models.Holding,
        {(MARKET, name): _held for name in ("LicenceBought", "LicenceRenewed", "IncomeVested", "LicenceSettled")},
        elsewhere=frozenset({"amount", "taken"}),
    ),
    _one(models.UsageReport, "UsageReported", _renamed("used", licence_id="licenceId")),
    _one(models.UsageSkip, "UsageSkipped", _renamed("used", "reason", licence_id="licenceId")),
    _one(
        models.KeyDelivery,
        "KeyDelivered",
        _renamed("holder", licence_id="licenceId", recipient_key="recipientKey", wrapped_key_hash="wrappedKeyHash"),
    ),
    _one(
        models.IncomeSplit,
        "IncomeSplit",
        _renamed("token", "amount", "treasury", "fee", "payee", "service", "publisher", plan_id="planId"),
    ),
    _one(models.AncestorCredit, "AncestorCredited", _renamed("token", "amount", plan_id="planId", model_id="modelId")),
    _one(models.Withdrawal, "IncomeWithdrawn", _renamed("token", "amount", model_id="modelId", to_address="to")),
    _one(models.AccountWithdrawal, "AccountWithdrawn", _renamed("account", "token", "amount", to_address="to")),
    _one(models.Operator, "OperatorRegistered", _renamed("owner", "key", "payee", operator_id="operatorId")),
    _one(models.OperatorChange, "OperatorChanged", _renamed("key", "payee", operator_id="operatorId")),
    _one(models.OperatorDisablement, "OperatorDisabled", _renamed(operator_id="operatorId")),
    _one(models.Suspension, "ModelSuspended", _renamed("reason", model_id="modelId", lapses_at="until")),
    _one(models.SuspensionConfirmation, "SuspensionConfirmed", _renamed(model_id="modelId")),
    _one(models.SuspensionEnd, "ModelResumed", _renamed(model_id="modelId", suspended_s="suspendedSeconds")),
)
