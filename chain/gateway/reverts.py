"""Refusals of the contracts, each with a class of its own. Their names and arguments are those of the ABI, which a test
compares; `chain.gateway.revert_read` makes them of revert data.

The data say what a contract chose to say. A token that the market calls may send an error of the market's: believe a
class only as far as you believe every contract in the call.
"""

from chain.gateway.errors import ContractRefusal

# Plans.


class NotModelOwner(ContractRefusal):
    sentence = "Only the owner of model {model_id} may do this, and {caller} is not. Use the owner's account."
    model_id: int
    caller: str


class TokenNotAllowed(ContractRefusal):
    sentence = "Plans in the token {token} are not for sale here. Choose another token or another plan."
    token: str


class TokenWithoutCode(ContractRefusal):
    sentence = "There is no token contract at {token}. Check the address."
    token: str


class FlagsInvalid(ContractRefusal):
    sentence = (
        "The rights of the plan ({flags}) do not fit: it needs running or downloading, and can be renewed only with a"
        " period or with calls."
    )
    flags: int


class SupplyZero(ContractRefusal):
    sentence = "The plan has no licences to sell. Give it a supply of at least 1."


class PeriodTooLong(ContractRefusal):
    sentence = "A period of {period_s} seconds is longer than {longest_s}. For a licence without an end use 0."
    period_s: int
    longest_s: int


class VestingInvalid(ContractRefusal):
    sentence = (
        "Vesting over {vesting_s} seconds does not fit a period of {period_s}. A timed plan vests at once or over its"
        " period, a perpetual one at once or over 1 hour to 90 days."
    )
    vesting_s: int
    period_s: int


class CallsTooMany(ContractRefusal):
    sentence = "{calls} calls are more than {most}. Ask for fewer, or for 0: no limit."
    calls: int
    most: int


class FeeDiffers(ContractRefusal):
    sentence = "The protocol's fee is {actual_bps} bps now, the plan names {given_bps}. Read the fee again and repeat."
    actual_bps: int
    given_bps: int


class BpsTooLarge(ContractRefusal):
    sentence = "A share of {bps} bps is above its limit of {most_bps}."
    bps: int
    most_bps: int


class OperatorRequired(ContractRefusal):
    sentence = "A plan with calls or with a service share needs an operator. Name one."


class OperatorUnknown(ContractRefusal):
    sentence = "There is no operator {operator_id}. Check the number."
    operator_id: int


class OperatorIsDisabled(ContractRefusal):
    sentence = "Operator {operator_id} was disabled for ever. Choose another."
    operator_id: int


class PlanUnknown(ContractRefusal):
    sentence = "There is no plan {plan_id} on this chain. A block that held it may have been replaced; look again."
    plan_id: int


class PlanIsRetired(ContractRefusal):
    sentence = "Plan {plan_id} is not sold or renewed any more. Choose another plan of the model."
    plan_id: int


# Buying and renewing.


class PlanHashDiffers(ContractRefusal):
    sentence = "The terms of plan {plan_id} are not those that you agreed to. Nothing was paid; read the plan again."
    plan_id: int
    actual_hash: str
    given_hash: str


class SupplyExhausted(ContractRefusal):
    sentence = "All {supply} licences of plan {plan_id} are out. Choose another plan, or wait until one ends."
    plan_id: int
    supply: int


class ValueDiffers(ContractRefusal):
    sentence = "The call needs exactly {required_wei} wei sent along, {sent_wei} came. Read the price again and repeat."
    required_wei: int
    sent_wei: int


class PaymentDiffers(ContractRefusal):
    sentence = (
        "The token {token} moved {received_units} units instead of {price_units}: it takes a fee on transfers. Do not"
        " pay with it."
    )
    token: str
    price_units: int
    received_units: int


class SalesPaused(ContractRefusal):
    sentence = "Buying and renewing are paused at this market. Licences, refunds and withdrawals go on."


class ModelIsSuspended(ContractRefusal):
    sentence = "Model {model_id} is suspended. Its clock stands still; try again when the suspension has ended."
    model_id: int


class NotRenewable(ContractRefusal):
    sentence = "Licences of plan {plan_id} cannot be renewed. Buy a new one."
    plan_id: int


# Licences.


class LicenceUnknown(ContractRefusal):
    sentence = "There is no licence {licence_id}: it was never sold, or it was settled and paid out."
    licence_id: int


class NotHolder(ContractRefusal):
    sentence = "Only the holder of licence {licence_id} may do this, and {caller} is not. Use the holder's account."
    licence_id: int
    caller: str


class LicenceBound(ContractRefusal):
    sentence = "Licence {licence_id} cannot be transferred: its plan binds it to who received it."
    licence_id: int


class LicenceIsCancelled(ContractRefusal):
    sentence = "Licence {licence_id} was cancelled. It cannot be used, moved, renewed or cancelled again."
    licence_id: int


class LicenceExpired(ContractRefusal):
    sentence = "Licence {licence_id} has expired."
    licence_id: int


class NotDownloadable(ContractRefusal):
    sentence = "Plan {plan_id} does not include the download of the model."
    plan_id: int


class NotDeliverer(ContractRefusal):
    sentence = "{caller} is neither the operator nor the publisher of licence {licence_id} and cannot deliver its key."
    licence_id: int
    caller: str


class SettlesLater(ContractRefusal):
    sentence = (
        "Licence {licence_id} is not settled yet: it has to be cancelled first, and where calls are counted the refund"
        " can be taken from block time {settle_at} on (0: not cancelled)."
    )
    licence_id: int
    settle_at: int


class DeadlinePassed(ContractRefusal):
    sentence = "The signed request was good until block time {deadline}. Sign a new one."
    deadline: int


class SignatureInvalid(ContractRefusal):
    sentence = "This is not a signature of {holder} for this request. Sign it again with the holder's account."
    holder: str


class RequestUsed(ContractRefusal):
    sentence = "The signed request was carried out before. Sign a new one."
    digest: str


class BatchInvalid(ContractRefusal):
    sentence = "{length} entries do not fit one call: at most {most}, and as many of each kind."
    length: int
    most: int


# Money and roles.


class NothingToWithdraw(ContractRefusal):
    sentence = "There is no income to withdraw in the token {token}."
    token: str


class RecipientInvalid(ContractRefusal):
    sentence = "Money sent to {to} would be lost. Name another address."
    to: str


class NotAllowed(ContractRefusal):
    sentence = "{caller} does not have the role that this needs."
    caller: str


class SuspendedAlready(ContractRefusal):
    sentence = "Model {model_id} is suspended already."
    model_id: int


class NotSuspended(ContractRefusal):
    sentence = "Model {model_id} is not suspended."
    model_id: int


# The registry.


class DigestZero(ContractRefusal):
    sentence = "A release needs the digest of its files, not zero."


class ModelUnknown(ContractRefusal):
    sentence = "There is no model {model_id} on this chain. Check the number."
    model_id: int


class DerivativeBpsTooLarge(ContractRefusal):
    sentence = "A model can ask for at most {most_bps} bps of what is derived from it, not {bps}."
    bps: int
    most_bps: int


class ParentShareTooSmall(ContractRefusal):
    sentence = "Model {parent_id} asks for {asked_bps} bps, {given_bps} were declared. Read its share again and repeat."
    parent_id: int
    asked_bps: int
    given_bps: int


class TooManyAncestors(ContractRefusal):
    sentence = "The parents and their ancestors are more than {most} models. Name fewer parents."
    most: int


class AncestorSharesTooLarge(ContractRefusal):
    sentence = "The shares of all ancestors are {sum_bps} bps, and at most {most_bps} are possible."
    sum_bps: int
    most_bps: int


# The anchor of receipts.


class NotOperatorKey(ContractRefusal):
    sentence = "{caller} is not the key of operator {operator_id}, or the operator was disabled."
    operator_id: int
    caller: str


class BatchEmpty(ContractRefusal):
    sentence = "A batch of receipts needs a root and at least one receipt."


class AnchoredAlready(ContractRefusal):
    sentence = "Operator {operator_id} has anchored the root {root} before."
    operator_id: int
    root: str
