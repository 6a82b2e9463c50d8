"""What an event is about: models, plan, licence, addresses. Pure; the ids of the market carry each other.

A plan's id holds its model's, a licence's id its plan's (`modelId << 32 | n`, `planId << 32 | serial`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ZERO_ADDRESS = "0x0000000000000000000000000000000000000000"
_ID_BITS = 32

# Which arguments of an event name an address that it is about. Tokens are none: everybody trades in the same ones.
_PARTIES: dict[tuple[str, str], tuple[str, ...]] = {
    ("ModelRegistry", "ModelPublished"): ("publisher",),
    ("ModelRegistry", "Transfer"): ("from", "to"),
    ("LicenceMarket", "LicenceBought"): ("holder", "payer"),
    ("LicenceMarket", "LicenceRenewed"): ("payer",),
    ("LicenceMarket", "LicenceCancelled"): ("holder",),
    ("LicenceMarket", "LicenceSettled"): ("holder", "to"),
    ("LicenceMarket", "Transfer"): ("from", "to"),
    ("LicenceMarket", "KeyDelivered"): ("holder",),
    ("LicenceMarket", "IncomeSplit"): ("treasury", "payee"),
    ("LicenceMarket", "IncomeWithdrawn"): ("to",),
    ("LicenceMarket", "AccountWithdrawn"): ("account", "to"),
    ("LicenceMarket", "OperatorRegistered"): ("owner", "key", "payee"),
    ("LicenceMarket", "OperatorChanged"): ("key", "payee"),
    ("LicenceMarket", "TreasurySet"): ("treasury",),
    ("LicenceMarket", "GuardianSet"): ("guardian",),
    ("LicenceMarket", "PauserSet"): ("pauser",),
}


@dataclass(frozen=True, slots=True)
class Subjects:
    """`model_id` is the model's own; `model_ids` names every model that the event is about, that one first."""

    model_id: int | None = None
    plan_id: int | None = None
    licence_id: int | None = None
    model_ids: list[int] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)


def subjects_of(contract: str, name: str, args: Mapping[str, Any]) -> Subjects:
    """The subjects of an event. Integers may be `int` or decimal strings, as in `ChainEvent.args`."""
    licence_id = _number(args, "licenceId")
    plan_id = _number(args, "planId")
    model_id = _number(args, "modelId")
    token_id = _number(args, "tokenId")
    if token_id is not None and contract == "LicenceMarket":
        licence_id = token_id
    elif token_id is not None:
        model_id = token_id
    if licence_id is not None:
        plan_id = licence_id >> _ID_BITS
    others = [model_id] if model_id is not None else []
    if plan_id is not None:
        model_id = plan_id >> _ID_BITS
    own = [model_id] if model_id is not None else []
    parties = (str(args[party]) for party in _PARTIES.get((contract, name), ()))
    accounts = dict.fromkeys(party for party in parties if party != ZERO_ADDRESS)
    return Subjects(model_id, plan_id, licence_id, list(dict.fromkeys([*own, *others])), list(accounts))


def _number(args: Mapping[str, Any], name: str) -> int | None:
    return int(args[name]) if name in args else None
