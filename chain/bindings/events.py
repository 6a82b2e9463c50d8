"""The events of the contracts, typed. Fields stand in the order of the ABI, which a test compares.

In a handler: `bought = LicenceBought.of(event.args)`. Units are those of `chain.bindings.structs`; `*_on_clock` is in
unix seconds of the model's clock, which is behind block time by the seconds for which the model was suspended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from chain.bindings.structs import PlanTerms, Share, SkipReason


@dataclass(frozen=True, slots=True)
class Event:
    """What a contract told. `of` takes the arguments as `chain.abi.event_decode` and `DecodedEvent` have them."""

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> Self:
        """Raises `ValueError` where these are another event's arguments."""
        names = [part.name for part in fields(cls)]
        if len(names) != len(args):
            raise ValueError(f"{cls.__name__} has {len(names)} arguments, not {len(args)}.")
        return cls(*(_typed(name, value) for name, value in zip(names, args.values(), strict=True)))


def _typed(name: str, value: Any) -> Any:
    if name == "terms":
        return PlanTerms(*value.values())
    if name in {"parents", "ancestors"}:
        return tuple(Share(*share.values()) for share in value)
    return SkipReason(value) if name == "skip_reason" else value


# ERC-721, of models and licences. Indexed under the words of the standard.


@dataclass(frozen=True, slots=True)
class Transfer(Event):
    sender: str
    to: str
    token_id: int


@dataclass(frozen=True, slots=True)
class Approval(Event):
    owner: str
    approved: str
    token_id: int


@dataclass(frozen=True, slots=True)
class ApprovalForAll(Event):
    owner: str
    operator: str
    is_approved: bool


@dataclass(frozen=True, slots=True)
class MetadataUpdate(Event):
    token_id: int


@dataclass(frozen=True, slots=True)
class BatchMetadataUpdate(Event):
    from_token_id: int
    to_token_id: int


# ModelRegistry.


@dataclass(frozen=True, slots=True)
class ModelPublished(Event):
    model_id: int
    publisher: str
    digest: str


@dataclass(frozen=True, slots=True)
class ReleasePublished(Event):
    model_id: int
    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class LineageStored(Event):
    model_id: int
    parents: tuple[Share, ...]
    ancestors: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class DerivativeBpsSet(Event):
    model_id: int
    bps: int


# LicenceMarket: plans and licences.


@dataclass(frozen=True, slots=True)
class PlanAdded(Event):
    plan_id: int
    model_id: int
    terms: PlanTerms
    plan_hash: str


@dataclass(frozen=True, slots=True)
class PlanRetired(Event):
    plan_id: int


@dataclass(frozen=True, slots=True)
class LicenceBought(Event):
    licence_id: int
    plan_id: int
    holder: str
    payer: str
    price_units: int
    entry_units: int
    expires_on_clock: int
    calls: int


@dataclass(frozen=True, slots=True)
class LicenceRenewed(Event):
    licence_id: int
    payer: str
    price_units: int
    entry_units: int
    amount_units: int
    expires_on_clock: int
    calls: int


@dataclass(frozen=True, slots=True)
class LicenceCancelled(Event):
    licence_id: int
    holder: str
    settle_at: int


@dataclass(frozen=True, slots=True)
class LicenceSettled(Event):
    licence_id: int
    holder: str
    to: str
    refund_units: int


@dataclass(frozen=True, slots=True)
class IncomeVested(Event):
    licence_id: int
    amount_units: int


@dataclass(frozen=True, slots=True)
class UsageReported(Event):
    licence_id: int
    used: int


@dataclass(frozen=True, slots=True)
class UsageSkipped(Event):
    licence_id: int
    used: int
    skip_reason: SkipReason


@dataclass(frozen=True, slots=True)
class KeyDelivered(Event):
    licence_id: int
    holder: str
    recipient_key: str
    wrapped_key_hash: str


# LicenceMarket: money.


@dataclass(frozen=True, slots=True)
class IncomeSplit(Event):
    plan_id: int
    token: str
    amount_units: int
    treasury: str
    fee_units: int
    payee: str
    service_units: int
    publisher_units: int


@dataclass(frozen=True, slots=True)
class AncestorCredited(Event):
    plan_id: int
    model_id: int
    token: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class IncomeWithdrawn(Event):
    model_id: int
    token: str
    to: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class AccountWithdrawn(Event):
    account: str
    token: str
    to: str
    amount_units: int


# LicenceMarket: operators, models, roles.


@dataclass(frozen=True, slots=True)
class OperatorRegistered(Event):
    operator_id: int
    owner: str
    key: str
    payee: str


@dataclass(frozen=True, slots=True)
class OperatorChanged(Event):
    operator_id: int
    key: str
    payee: str


@dataclass(frozen=True, slots=True)
class OperatorDisabled(Event):
    operator_id: int


@dataclass(frozen=True, slots=True)
class ModelSuspended(Event):
    model_id: int
    reason: str
    lapses_at: int


@dataclass(frozen=True, slots=True)
class SuspensionConfirmed(Event):
    model_id: int


@dataclass(frozen=True, slots=True)
class ModelResumed(Event):
    model_id: int
    suspended_s: int


@dataclass(frozen=True, slots=True)
class TokenAllowed(Event):
    token: str
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class FeeSet(Event):
    fee_bps: int


@dataclass(frozen=True, slots=True)
class TreasurySet(Event):
    treasury: str


@dataclass(frozen=True, slots=True)
class GuardianSet(Event):
    guardian: str


@dataclass(frozen=True, slots=True)
class PauserSet(Event):
    pauser: str


@dataclass(frozen=True, slots=True)
class PausedSet(Event):
    is_paused: bool


@dataclass(frozen=True, slots=True)
class OwnershipTransferStarted(Event):
    previous_owner: str
    new_owner: str


@dataclass(frozen=True, slots=True)
class OwnershipTransferred(Event):
    previous_owner: str
    new_owner: str


# ReceiptAnchor.


@dataclass(frozen=True, slots=True)
class Anchored(Event):
    operator_id: int
    root: str
    count: int
    cid: str


# TestUSD: ERC-20, EIP-3009, EIP-5267.


@dataclass(frozen=True, slots=True)
class TokenTransfer(Event):
    sender: str
    to: str
    value_units: int


@dataclass(frozen=True, slots=True)
class TokenApproval(Event):
    owner: str
    spender: str
    value_units: int


@dataclass(frozen=True, slots=True)
class AuthorizationUsed(Event):
    authorizer: str
    nonce: str


@dataclass(frozen=True, slots=True)
class AuthorizationCanceled(Event):
    authorizer: str
    nonce: str


@dataclass(frozen=True, slots=True)
class EIP712DomainChanged(Event):
    pass
