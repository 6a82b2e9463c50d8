"""The market's roles, operators, suspensions and credits: the half of the model that knows no licence."""

from collections import defaultdict
from typing import Any

from tests.contracts_model.refusals import Reasons
from tests.contracts_model.registry_model import RegistryModel
from tests.contracts_model.states import MAX_FEE_BPS, NATIVE, NOBODY, SUSPENSION, Books, Clock, Credit, Operator


class RolesModel:
    def __init__(self, registry: RegistryModel, *, market: str, admin: str, treasury: str, now: int) -> None:
        self.registry = registry
        self.market = market
        self.admin, self.treasury = admin, treasury
        self.guardian, self.pauser = NOBODY, NOBODY
        self.now = now
        self.fee_bps = 0
        self.paused = False
        self.tokens: set[str] = set()
        self.operators: dict[int, Operator] = {}
        self.clocks: defaultdict[int, Clock] = defaultdict(Clock)
        self.books = Books()
        # The events of the actions so far: name and arguments as the interface has them.
        self.log: list[tuple[str, dict[str, Any]]] = []

    # ------------------------------------------------------------------ roles

    def set_token_allowed(self, token: str, allowed: bool, *, by: str) -> None:
        self._role_require(by == self.admin, "OwnableUnauthorizedAccount")
        (self.tokens.add if allowed else self.tokens.discard)(token)
        self.emit("TokenAllowed", token=token, allowed=allowed)

    def set_fee_bps(self, fee_bps: int, *, by: str) -> None:
        reasons = Reasons()
        reasons.when(by != self.admin, "OwnableUnauthorizedAccount")
        reasons.when(fee_bps > MAX_FEE_BPS, "BpsTooLarge")
        reasons.refuse()
        self.fee_bps = fee_bps
        self.emit("FeeSet", feeBps=fee_bps)

    def set_treasury(self, treasury: str, *, by: str) -> None:
        reasons = Reasons()
        reasons.when(by != self.admin, "OwnableUnauthorizedAccount")
        self._recipient_check(reasons, treasury)
        reasons.refuse()
        self.treasury = treasury
        self.emit("TreasurySet", treasury=treasury)

    def set_guardian(self, guardian: str, *, by: str) -> None:
        self._role_require(by == self.admin, "OwnableUnauthorizedAccount")
        self.guardian = guardian
        self.emit("GuardianSet", guardian=guardian)

    def set_pauser(self, pauser: str, *, by: str) -> None:
        self._role_require(by == self.admin, "OwnableUnauthorizedAccount")
        self.pauser = pauser
        self.emit("PauserSet", pauser=pauser)

    def set_paused(self, paused: bool, *, by: str) -> None:
        self._role_require(by in (self.admin, self.pauser), "NotAllowed")
        self.paused = paused
        self.emit("PausedSet", paused=paused)

    # ------------------------------------------------------------------ operators

    def register_operator(self, key: str, payee: str, *, by: str) -> int:
        self._operator_check(key, payee)
        operator_id = len(self.operators) + 1
        self.operators[operator_id] = Operator(by, key, payee)
        self.emit("OperatorRegistered", operatorId=operator_id, owner=by, key=key, payee=payee)
        return operator_id

    def set_operator(self, operator_id: int, key: str, payee: str, *, by: str) -> None:
        operator = self.operators.get(operator_id)
        self._role_require(operator is not None and operator.owner == by, "NotAllowed")
        assert operator is not None
        self._operator_check(key, payee)
        operator.key, operator.payee = key, payee
        self.emit("OperatorChanged", operatorId=operator_id, key=key, payee=payee)

    def disable_operator(self, operator_id: int, *, by: str) -> None:
        self._role_require(by == self.guardian, "NotAllowed")
        operator = self._operator(operator_id)
        reasons = Reasons()
        reasons.when(operator.disabled, "OperatorIsDisabled")
        reasons.refuse()
        operator.disabled = True
        self.emit("OperatorDisabled", operatorId=operator_id)

    # ------------------------------------------------------------------ suspension

    def suspend(self, model_id: int, reason: str, *, by: str) -> int:
        """Block time at which it lapses unless the admin confirms it."""
        reasons = Reasons()
        reasons.when(by != self.guardian, "NotAllowed")
        reasons.when(self.suspended(model_id), "SuspendedAlready")
        reasons.refuse()
        clock = self.clocks[model_id]
        clock.close(self.now)
        clock.suspended_at, clock.lapses_at = self.now, self.now + SUSPENSION
        self.emit("ModelSuspended", modelId=model_id, reason=reason, until=clock.lapses_at)
        return clock.lapses_at

    def confirm_suspension(self, model_id: int, *, by: str) -> None:
        reasons = Reasons()
        reasons.when(by != self.admin, "OwnableUnauthorizedAccount")
        reasons.when(not self.suspended(model_id), "NotSuspended")
        reasons.refuse()
        self.clocks[model_id].lapses_at = None
        self.emit("SuspensionConfirmed", modelId=model_id)

    def resume(self, model_id: int, *, by: str) -> int:
        """For how many seconds the model has been suspended over its life."""
        clock = self.clocks[model_id]
        reasons = Reasons()
        reasons.when(by not in (self.admin, self.guardian), "NotAllowed")
        reasons.when(by == self.guardian != self.admin and clock.lapses_at is None, "NotAllowed")
        not_suspended = not self.suspended(model_id)
        reasons.when(not_suspended, "NotSuspended")
        reasons.refuse()
        clock.close(self.now)
        self.emit("ModelResumed", modelId=model_id, suspendedSeconds=clock.seconds)
        return clock.seconds

    def suspended(self, model_id: int) -> bool:
        return bool(self.clocks[model_id].suspended_since(self.now))

    def clock(self, model_id: int) -> int:
        return self.clocks[model_id].time(self.now)

    # ------------------------------------------------------------------ helpers

    def emit(self, event: str, **args: Any) -> None:
        self.log.append((event, args))

    def token_allowed(self, token: str) -> bool:
        return token == NATIVE or token in self.tokens

    def owner_of_model(self, model_id: int) -> str | None:
        model = self.registry.models.get(model_id)
        return model.owner if model else None

    def credits(self, token: str) -> int:
        books = (self.books.models, self.books.accounts)
        return sum(credit.open for book in books for (_, paid_in), credit in book.items() if paid_in == token)

    def _pay_credit(self, credit: Credit, token: str, to: str) -> int:
        amount = credit.open
        credit.open, credit.withdrawn = 0, credit.withdrawn + amount
        self.books.move(token, amount, source=self.market, to=to)
        return amount

    def _recipient_check(self, reasons: Reasons, to: str) -> None:
        reasons.when(to in (NOBODY, self.market), "RecipientInvalid")

    def _operator_check(self, key: str, payee: str) -> None:
        reasons = Reasons()
        reasons.when(key == NOBODY, "RecipientInvalid")
        self._recipient_check(reasons, payee)
        reasons.refuse()

    def _operator(self, operator_id: int) -> Operator:
        reasons = Reasons()
        reasons.when(operator_id not in self.operators, "OperatorUnknown")
        reasons.refuse()
        return self.operators[operator_id]

    @staticmethod
    def _role_require(allowed: bool, error: str) -> None:
        reasons = Reasons()
        reasons.when(not allowed, error)
        reasons.refuse()
