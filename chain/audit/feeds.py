"""What the index of the activity feeds must hold, said a second time: which events it has, and what each is about."""

from collections.abc import Mapping, Sequence
from typing import Any

from chain.audit.decode import AuditedLog
from chain.audit.registry import RowAudit, rows_register
from chain.models import EventSubject

REGISTRY, MARKET = "ModelRegistry", "LicenceMarket"
NOBODY = "0x" + "00" * 20
# Bits by which an id is shifted to that of its model.
_SHIFTS = {"modelId": 0, "planId": 32, "licenceId": 64}

# Topic, argument that names what the event is about, further arguments that name a model, arguments with an address.
_FEEDS: dict[tuple[str, str], tuple[int, str, tuple[str, ...], tuple[str, ...]]] = {
    (REGISTRY, "ModelPublished"): (1, "modelId", (), ("publisher",)),
    (REGISTRY, "ReleasePublished"): (1, "modelId", (), ()),
    (REGISTRY, "Transfer"): (1, "tokenId", (), ("from", "to")),
    (REGISTRY, "DerivativeBpsSet"): (1, "modelId", (), ()),
    (MARKET, "PlanAdded"): (2, "planId", (), ()),
    (MARKET, "PlanRetired"): (2, "planId", (), ()),
    (MARKET, "LicenceBought"): (3, "licenceId", (), ("holder", "payer")),
    (MARKET, "LicenceRenewed"): (3, "licenceId", (), ("payer",)),
    (MARKET, "LicenceCancelled"): (4, "licenceId", (), ("holder",)),
    (MARKET, "LicenceSettled"): (4, "licenceId", (), ("holder", "to")),
    (MARKET, "Transfer"): (4, "tokenId", (), ("from", "to")),
    (MARKET, "KeyDelivered"): (4, "licenceId", (), ("holder",)),
    (MARKET, "UsageReported"): (5, "licenceId", (), ()),
    (MARKET, "UsageSkipped"): (5, "licenceId", (), ()),
    (MARKET, "IncomeVested"): (6, "licenceId", (), ()),
    (MARKET, "IncomeSplit"): (6, "planId", (), ("treasury", "payee")),
    (MARKET, "AncestorCredited"): (6, "planId", ("modelId",), ()),
    (MARKET, "IncomeWithdrawn"): (6, "modelId", (), ("to",)),
    (MARKET, "AccountWithdrawn"): (6, "", (), ("account", "to")),
    (MARKET, "OperatorRegistered"): (7, "", (), ("owner", "key", "payee")),
    (MARKET, "OperatorChanged"): (7, "", (), ("key", "payee")),
    (MARKET, "OperatorDisabled"): (7, "", (), ()),
    (MARKET, "ModelSuspended"): (8, "modelId", (), ()),
    (MARKET, "SuspensionConfirmed"): (8, "modelId", (), ()),
    (MARKET, "ModelResumed"): (8, "modelId", (), ()),
    (MARKET, "FeeSet"): (9, "", (), ()),
    (MARKET, "TreasurySet"): (9, "", (), ("treasury",)),
    (MARKET, "GuardianSet"): (9, "", (), ("guardian",)),
    (MARKET, "PauserSet"): (9, "", (), ("pauser",)),
    (MARKET, "PausedSet"): (9, "", (), ()),
    (MARKET, "TokenAllowed"): (9, "", (), ()),
}


def register_all() -> None:
    rows_register(RowAudit(EventSubject, dict.fromkeys(_FEEDS, _subjects), key=("value",)))


def _subjects(log: AuditedLog) -> Sequence[Mapping[str, Any]]:
    topic, about, models, parties = _FEEDS[log.contract, log.name]
    args = log.args
    # Minting and burning are told by other events.
    if log.name == "Transfer" and NOBODY in (args["from"], args["to"]):
        return []
    shift = {**_SHIFTS, "tokenId": 64 if log.contract == MARKET else 0}.get(about, 0)
    ids = [str(args[about] >> shift)] if about else []
    values = {*ids, *(str(args[name]) for name in models), *(args[name] for name in parties)} - {NOBODY}
    return [{"value": value, "topic": topic} for value in sorted(values)]
