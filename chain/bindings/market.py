"""`LicenceMarket`, typed. `contracts/src/interfaces/ILicenceMarket.sol` says what each function does.

`value_wei` is the native coin sent along: the price of a plan in the coin, 0 of a plan in a token. `plan_hash` is what
the payer agreed to; the call is refused where the plan on chain has another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chain.bindings.base import View, struct_of, structs_of
from chain.bindings.structs import Authorization, LicenceState, Operator, PlanState, PlanTerms
from chain.bindings.tokens import Data, NonFungible
from chain.transactions import TransactionRequest


@dataclass(frozen=True, slots=True)
class ModelClock:
    """A model's clock, in unix seconds; it stands still while the model is suspended. `suspended_at` 0: it is not."""

    clock_at: int
    suspended_at: int


@dataclass(frozen=True, slots=True)
class Royalty:
    """ERC-2981, advisory. `amount_units` is in the unit of the sale."""

    receiver: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class LicenceMarket(NonFungible):
    artefact: ClassVar[str] = "LicenceMarket"

    # Plans.

    def add_plan(self, terms: PlanTerms) -> TransactionRequest:
        return self._send("addPlan", terms)

    def retire_plan(self, plan_id: int) -> TransactionRequest:
        return self._send("retirePlan", plan_id)

    # Buying.

    def buy(self, plan_id: int, plan_hash: Data, recipient: str, *, value_wei: int) -> TransactionRequest:
        return self._send("buy", plan_id, plan_hash, recipient, value_wei=value_wei)

    def buy_with_permit(
        self, plan_id: int, plan_hash: Data, recipient: str, *, deadline: int, v: int, r: Data, s: Data
    ) -> TransactionRequest:
        """With the caller's EIP-2612 permit of exactly the price: `weighhouse.core.eip712.permit`."""
        return self._send("buyWithPermit", plan_id, plan_hash, recipient, deadline, v, r, s)

    def buy_with_authorization(
        self, plan_id: int, plan_hash: Data, recipient: str, *, authorization: Authorization, v: int, r: Data, s: Data
    ) -> TransactionRequest:
        """Paid by whoever signed `weighhouse.core.eip712.receive_authorization`, sent by anyone."""
        return self._send("buyWithAuthorization", plan_id, plan_hash, recipient, authorization, v, r, s)

    def buy_with_wallet_authorization(
        self, plan_id: int, plan_hash: Data, recipient: str, *, authorization: Authorization, signature: Data
    ) -> TransactionRequest:
        return self._send("buyWithWalletAuthorization", plan_id, plan_hash, recipient, authorization, signature)

    def renew(self, licence_id: int, plan_hash: Data, *, value_wei: int) -> TransactionRequest:
        return self._send("renew", licence_id, plan_hash, value_wei=value_wei)

    # Leaving.

    def cancel(self, licence_id: int, to: str) -> TransactionRequest:
        return self._send("cancel", licence_id, to)

    def cancel_by_sig(self, licence_id: int, to: str, deadline: int, signature: Data) -> TransactionRequest:
        """With the holder's signature of `weighhouse.core.eip712.cancel_request`."""
        return self._send("cancelBySig", licence_id, to, deadline, signature)

    def settle(self, licence_id: int, to: str) -> TransactionRequest:
        return self._send("settle", licence_id, to)

    # Use.

    def report_usage(self, licence_ids: Sequence[int], used: Sequence[int]) -> TransactionRequest:
        return self._send("reportUsage", licence_ids, used)

    def deliver(
        self, licence_id: int, recipient_key: Data, deadline: int, *, holder_signature: Data, wrapped_key_hash: Data
    ) -> TransactionRequest:
        """With the holder's signature of `weighhouse.core.eip712.deliver_request`."""
        return self._send("deliver", licence_id, recipient_key, deadline, holder_signature, wrapped_key_hash)

    # Income.

    def collect(self, licence_ids: Sequence[int]) -> TransactionRequest:
        return self._send("collect", licence_ids)

    def split(self, plan_id: int) -> TransactionRequest:
        return self._send("split", plan_id)

    def withdraw(self, model_id: int, token: str, to: str) -> TransactionRequest:
        return self._send("withdraw", model_id, token, to)

    def withdraw_account(self, token: str, to: str) -> TransactionRequest:
        return self._send("withdrawAccount", token, to)

    # Operators.

    def register_operator(self, key: str, payee: str) -> TransactionRequest:
        return self._send("registerOperator", key, payee)

    def set_operator(self, operator_id: int, key: str, payee: str) -> TransactionRequest:
        return self._send("setOperator", operator_id, key, payee)

    def disable_operator(self, operator_id: int) -> TransactionRequest:
        return self._send("disableOperator", operator_id)

    # Roles.

    def suspend(self, model_id: int, reason: Data) -> TransactionRequest:
        return self._send("suspend", model_id, reason)

    def confirm_suspension(self, model_id: int) -> TransactionRequest:
        return self._send("confirmSuspension", model_id)

    def resume(self, model_id: int) -> TransactionRequest:
        return self._send("resume", model_id)

    def set_token_allowed(self, token: str, allowed: bool) -> TransactionRequest:
        return self._send("setTokenAllowed", token, allowed)

    def set_fee_bps(self, fee_bps: int) -> TransactionRequest:
        return self._send("setFeeBps", fee_bps)

    def set_treasury(self, treasury: str) -> TransactionRequest:
        return self._send("setTreasury", treasury)

    def set_guardian(self, guardian: str) -> TransactionRequest:
        return self._send("setGuardian", guardian)

    def set_pauser(self, pauser: str) -> TransactionRequest:
        return self._send("setPauser", pauser)

    def set_paused(self, paused: bool) -> TransactionRequest:
        return self._send("setPaused", paused)

    def transfer_ownership(self, new_owner: str) -> TransactionRequest:
        """Names the next admin, who must accept."""
        return self._send("transferOwnership", new_owner)

    def accept_ownership(self) -> TransactionRequest:
        return self._send("acceptOwnership")

    def renounce_ownership(self) -> TransactionRequest:
        """Leaves the market without an admin, for ever."""
        return self._send("renounceOwnership")

    # Views of plans and licences.

    def plan(self, plan_id: int) -> View[tuple[PlanTerms, PlanState]]:
        return self._view("plan", plan_id, make=_plan)

    def plan_hash(self, plan_id: int) -> View[str]:
        return self._view("planHash", plan_id, make=str)

    def plan_count(self, model_id: int) -> View[int]:
        return self._view("planCount", model_id, make=int)

    def is_valid(self, licence_id: int) -> View[bool]:
        return self._view("isValid", licence_id, make=bool)

    def licence_states(self, licence_ids: Sequence[int]) -> View[tuple[LicenceState, ...]]:
        return self._view("licenceStates", licence_ids, make=structs_of(LicenceState))

    def model_clock(self, model_id: int) -> View[ModelClock]:
        return self._view("modelClock", model_id, make=ModelClock)

    def model_fingerprint(self, model_id: int, tokens: Sequence[str]) -> View[str]:
        return self._view("modelFingerprint", model_id, tokens, make=str)

    def royalty_info(self, licence_id: int, sale_price_units: int) -> View[Royalty]:
        return self._view("royaltyInfo", licence_id, sale_price_units, make=Royalty)

    def authorization_nonce(self, plan_id: int, plan_hash: Data, recipient: str, salt: Data) -> View[str]:
        return self._view("authorizationNonce", plan_id, plan_hash, recipient, salt, make=str)

    # Views of money, operators and roles.

    def credit(self, model_id: int, token: str) -> View[int]:
        return self._view("credit", model_id, token, make=int)

    def account_credit(self, account: str, token: str) -> View[int]:
        return self._view("accountCredit", account, token, make=int)

    def operator(self, operator_id: int) -> View[Operator]:
        return self._view("operator", operator_id, make=struct_of(Operator))

    def operator_count(self) -> View[int]:
        return self._view("operatorCount", make=int)

    def token_allowed(self, token: str) -> View[bool]:
        return self._view("tokenAllowed", token, make=bool)

    def registry(self) -> View[str]:
        return self._view("registry", make=str)

    def fee_bps(self) -> View[int]:
        return self._view("feeBps", make=int)

    def paused(self) -> View[bool]:
        return self._view("paused", make=bool)

    def owner(self) -> View[str]:
        """The admin."""
        return self._view("owner", make=str)

    def pending_owner(self) -> View[str]:
        return self._view("pendingOwner", make=str)

    def treasury(self) -> View[str]:
        return self._view("treasury", make=str)

    def guardian(self) -> View[str]:
        return self._view("guardian", make=str)

    def pauser(self) -> View[str]:
        return self._view("pauser", make=str)

    def domain_separator(self) -> View[str]:
        """Of signed requests: `weighhouse.core.eip712.market_domain`."""
        return self._view("DOMAIN_SEPARATOR", make=str)

    # Limits. Times are in seconds.

    def max_period(self) -> View[int]:
        return self._view("MAX_PERIOD", make=int)

    def min_vesting(self) -> View[int]:
        return self._view("MIN_VESTING", make=int)

    def max_vesting(self) -> View[int]:
        return self._view("MAX_VESTING", make=int)

    def max_calls(self) -> View[int]:
        return self._view("MAX_CALLS", make=int)

    def max_fee_bps(self) -> View[int]:
        return self._view("MAX_FEE_BPS", make=int)

    def max_service_bps(self) -> View[int]:
        return self._view("MAX_SERVICE_BPS", make=int)

    def max_entry_bps(self) -> View[int]:
        return self._view("MAX_ENTRY_BPS", make=int)

    def royalty_bps(self) -> View[int]:
        return self._view("ROYALTY_BPS", make=int)

    def report_window(self) -> View[int]:
        return self._view("REPORT_WINDOW", make=int)

    def suspension(self) -> View[int]:
        return self._view("SUSPENSION", make=int)

    def settle_after(self) -> View[int]:
        return self._view("SETTLE_AFTER", make=int)

    def batch(self) -> View[int]:
        return self._view("BATCH", make=int)


def _plan(terms: dict[str, object], state: dict[str, object]) -> tuple[PlanTerms, PlanState]:
    return struct_of(PlanTerms)(terms), struct_of(PlanState)(state)
