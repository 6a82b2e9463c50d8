"""An independent model of LicenceMarket, written from its specification and interfaces, to the wei.

`MarketModel.now` is block time; who drives the model moves it. Every action takes `by`, the caller, and raises
`Refused` with all reasons that apply. Nothing here reads a chain.
"""

from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from tests.contracts_model.arithmetic import Shares, clamped, entry_share, income_shares, vested_amount
from tests.contracts_model.refusals import Reasons
from tests.contracts_model.registry_model import RegistryModel
from tests.contracts_model.roles_model import RolesModel
from tests.contracts_model.states import (
    BATCH,
    DOWNLOAD,
    MAX_CALLS,
    NATIVE,
    NOBODY,
    RENEWABLE,
    REPORT_WINDOW,
    SETTLE_AFTER,
    TRANSFERABLE,
    Licence,
    Plan,
    Request,
    Terms,
)
from tests.contracts_model.terms_model import terms_reasons

# In the order of the interface's enumeration.
SKIP_REASONS = ("Unknown", "Unmetered", "Foreign", "Disabled", "Closed", "NotHigher", "AboveTotal")
MOST_SERIAL = 2**24 - 1
MOST_TIME = 2**32 - 1
MOST_AMOUNT = 2**96 - 1


class MarketModel(RolesModel):
    """Plans, licences and income. Roles, operators and suspension are in `RolesModel`."""

    def __init__(self, registry: RegistryModel, *, market: str, admin: str, treasury: str, now: int) -> None:
        super().__init__(registry, market=market, admin=admin, treasury=treasury, now=now)
        self.plans: dict[int, Plan] = {}
        self.licences: dict[int, Licence] = {}
        self.requests_used: set[tuple[int, Request]] = set()

    # ------------------------------------------------------------------ plans

    def add_plan(self, terms: Terms, *, by: str) -> int:
        reasons = terms_reasons(terms, fee_bps=self.fee_bps, operators=self.operators, allowed=self.token_allowed)
        reasons.when(self.owner_of_model(terms.modelId) != by, "NotModelOwner")
        reasons.refuse()
        number = 1 + sum(1 for plan in self.plans.values() if plan.terms.modelId == terms.modelId)
        plan_id = terms.modelId << 32 | number
        self.plans[plan_id] = Plan(terms)
        self.emit("PlanAdded", planId=plan_id, modelId=terms.modelId, terms=asdict(terms))
        return plan_id

    def retire_plan(self, plan_id: int, *, by: str) -> None:
        plan = self._plan(plan_id)
        reasons = Reasons()
        reasons.when(self.owner_of_model(plan.terms.modelId) != by, "NotModelOwner")
        reasons.when(plan.retired, "PlanIsRetired")
        reasons.refuse()
        plan.retired = True
        self.emit("PlanRetired", planId=plan_id)

    # ------------------------------------------------------------------ buying

    def buy(self, plan_id: int, recipient: str, *, payer: str, agreed: bool = True) -> int:
        """A licence for `recipient`. `agreed` says whether the buyer's hash is that of the plan."""
        plan = self._plan(plan_id)
        clock = self.clock(plan.terms.modelId)
        reasons = self._sale_reasons(plan, payer=payer, agreed=agreed)
        reasons.when(plan.live >= plan.terms.supply, "SupplyExhausted")
        reasons.when(plan.sold >= MOST_SERIAL, "SupplyExhausted")
        reasons.when(recipient == NOBODY, "TransferToZeroAddress")
        expiry = clock + plan.terms.period if plan.terms.period else 0
        reasons.when(expiry > MOST_TIME, "SafeCastOverflowedUintDowncast")
        reasons.refuse()
        plan.live += 1
        plan.sold += 1
        licence_id = plan_id << 32 | plan.sold
        entry = self._entry(plan.terms)
        plan.earned += entry
        amount = plan.terms.price - entry
        self.licences[licence_id] = Licence(plan_id, recipient, amount, clock, expiry, plan.terms.calls)
        paid = {"payer": payer, "price": plan.terms.price, "entry": entry, "expiry": expiry, "calls": plan.terms.calls}
        self.emit("LicenceBought", licenceId=licence_id, planId=plan_id, holder=recipient, **paid)
        self.books.move(plan.terms.token, plan.terms.price, source=payer, to=self.market)
        return licence_id

    def renew(self, licence_id: int, *, payer: str, agreed: bool = True) -> None:
        licence = self._licence(licence_id)
        plan = self.plans[licence.plan_id]
        terms, clock = plan.terms, self.clock(plan.terms.modelId)
        reasons = self._sale_reasons(plan, payer=payer, agreed=agreed)
        reasons.when(not terms.flags & RENEWABLE, "NotRenewable")
        reasons.when(bool(terms.calls) and payer != licence.owner, "NotHolder")
        reasons.when(licence.cancelled_at is not None, "LicenceIsCancelled")
        reasons.when(licence.total + terms.calls > MAX_CALLS, "CallsTooMany")
        expiry = max(clock, licence.expiry) + terms.period if terms.period else 0
        reasons.when(expiry > MOST_TIME, "SafeCastOverflowedUintDowncast")
        entry = self._entry(terms)
        amount = licence.amount - self.vested(licence_id) + terms.price - entry
        reasons.when(amount > MOST_AMOUNT, "SafeCastOverflowedUintDowncast")
        reasons.refuse()
        self._settle(licence_id)
        plan.earned += entry
        paid = {"payer": payer, "price": terms.price, "entry": entry, "amount": amount}
        licence.amount, licence.taken = amount, 0
        if terms.vesting:
            # Where all vests at once, no term has a beginning that matters.
            licence.start, licence.base = clock, licence.used
        licence.total += terms.calls
        licence.expiry = expiry
        self.emit("LicenceRenewed", licenceId=licence_id, **paid, expiry=expiry, calls=licence.total)
        self.books.move(terms.token, terms.price, source=payer, to=self.market)

    def _sale_reasons(self, plan: Plan, *, payer: str, agreed: bool) -> Reasons:
        reasons = Reasons()
        if plan.terms.token != NATIVE:
            has = self.books.balances.get((plan.terms.token, payer), 0)
            reasons.when(has < plan.terms.price, "ERC20InsufficientBalance")
        reasons.when(not agreed, "PlanHashDiffers")
        reasons.when(plan.retired, "PlanIsRetired")
        reasons.when(self.paused, "SalesPaused")
        reasons.when(not self.token_allowed(plan.terms.token), "TokenNotAllowed")
        reasons.when(self.suspended(plan.terms.modelId), "ModelIsSuspended")
        return reasons

    @staticmethod
    def _entry(terms: Terms) -> int:
        return entry_share(terms.price, terms.entryBps) if terms.vesting else terms.price

    # ------------------------------------------------------------------ vesting

    def vested(self, licence_id: int) -> int:
        """How much of the licence's amount has vested by now."""
        licence = self.licences[licence_id]
        terms = self.plans[licence.plan_id].terms
        fractions: list[Fraction] = []
        if licence.cancelled_at is None:
            span = licence.expiry - licence.start if terms.period else terms.vesting
            fractions.append(clamped(self.clock(terms.modelId) - licence.start, span))
        if terms.calls:
            fractions.append(clamped(licence.used - licence.base, licence.total - licence.base))
        return vested_amount(licence.amount, licence.taken, fractions)

    def _settle(self, licence_id: int) -> None:
        """Move what has vested to the plan's income."""
        self._take(licence_id, self.vested(licence_id))

    def _take(self, licence_id: int, vested: int) -> None:
        licence = self.licences[licence_id]
        amount = vested - licence.taken
        self.plans[licence.plan_id].earned += amount
        licence.taken = vested
        if amount:
            self.emit("IncomeVested", licenceId=licence_id, amount=amount)

    # ------------------------------------------------------------------ leaving

    def cancel(self, licence_id: int, to: str, *, by: str) -> int | None:
        """The refund, or None where it is settled later."""
        licence = self._licence(licence_id)
        plan = self.plans[licence.plan_id]
        reasons = Reasons()
        reasons.when(licence.owner != by, "NotHolder")
        reasons.when(licence.cancelled_at is not None, "LicenceIsCancelled")
        self._recipient_check(reasons, to)
        reasons.refuse()
        self._settle(licence_id)
        plan.live -= 1
        settle_at = self.now + REPORT_WINDOW if plan.terms.calls else 0
        self.emit("LicenceCancelled", licenceId=licence_id, holder=by, settleAt=settle_at)
        if plan.terms.calls:
            licence.cancelled_at = self.now
            return None
        return self._pay_and_burn(licence_id, to)

    def cancel_by_sig(self, licence_id: int, to: str, *, signer: str, deadline: int) -> int | None:
        """A cancellation that the holder signed, whoever sends it."""
        licence = self._licence(licence_id)
        reasons = Reasons()
        reasons.when(self.now > deadline, "DeadlinePassed")
        reasons.when(signer != licence.owner, "SignatureInvalid")
        reasons.refuse()
        return self.cancel(licence_id, to, by=licence.owner)

    def settle(self, licence_id: int, to: str, *, by: str) -> int:
        licence = self._licence(licence_id)
        plan = self.plans[licence.plan_id]
        reasons = Reasons()
        since = self.clocks[plan.terms.modelId].suspended_since(self.now)
        if not (since and self.now >= since + SETTLE_AFTER):
            cancelled = licence.cancelled_at
            reasons.when(cancelled is None or self.now < cancelled + REPORT_WINDOW, "SettlesLater")
        brings_back = licence.amount - self.vested(licence_id)
        helps_nobody = licence.cancelled_at is None and not brings_back
        reasons.when(licence.owner not in (by, to) or (by != licence.owner and helps_nobody), "NotHolder")
        self._recipient_check(reasons, to)
        reasons.refuse()
        self._settle(licence_id)
        if licence.cancelled_at is None:
            plan.live -= 1
            self.emit("LicenceCancelled", licenceId=licence_id, holder=licence.owner, settleAt=0)
        return self._pay_and_burn(licence_id, to)

    def _pay_and_burn(self, licence_id: int, to: str) -> int:
        licence = self.licences.pop(licence_id)
        refund = licence.amount - licence.taken
        self.emit("LicenceSettled", licenceId=licence_id, holder=licence.owner, to=to, refund=refund)
        self.books.move(self.plans[licence.plan_id].terms.token, refund, source=self.market, to=to)
        return refund

    # ------------------------------------------------------------------ use

    def report_usage(self, licence_ids: Sequence[int], used: Sequence[int], *, by: str) -> list[tuple[int, str | None]]:
        """For every entry its licence and why it was skipped, None where it counted."""
        reasons = Reasons()
        reasons.when(len(licence_ids) != len(used) or len(used) > BATCH, "BatchInvalid")
        reasons.refuse()
        outcome = []
        for licence_id, count in zip(licence_ids, used, strict=True):
            why = self._skip_reason(licence_id, count, by)
            if why is None:
                self.licences[licence_id].used = count
                self.emit("UsageReported", licenceId=licence_id, used=count)
            else:
                self.emit("UsageSkipped", licenceId=licence_id, used=count, reason=SKIP_REASONS.index(why))
            outcome.append((licence_id, why))
        return outcome

    def _skip_reason(self, licence_id: int, count: int, by: str) -> str | None:
        licence = self.licences.get(licence_id)
        if licence is None:
            return "Unknown"
        terms = self.plans[licence.plan_id].terms
        if not terms.calls:
            return "Unmetered"
        operator, cancelled = self.operators[terms.operatorId], licence.cancelled_at
        reasons = {
            "Foreign": operator.key != by,
            "Disabled": operator.disabled,
            "Closed": cancelled is not None and self.now >= cancelled + REPORT_WINDOW,
            "NotHigher": count <= licence.used,
            "AboveTotal": count > licence.total,
        }
        return next((name for name, applies in reasons.items() if applies), None)

    def deliver(self, licence_id: int, request: Request, *, by: str, signer: str) -> None:
        licence = self._licence(licence_id)
        terms = self.plans[licence.plan_id].terms
        reasons = Reasons()
        reasons.when(not terms.flags & DOWNLOAD, "NotDownloadable")
        reasons.when(not self._delivers(terms, by), "NotDeliverer")
        reasons.when(licence.cancelled_at is not None, "LicenceIsCancelled")
        reasons.when(self.suspended(terms.modelId), "ModelIsSuspended")
        reasons.when(terms.period and self.clock(terms.modelId) >= licence.expiry, "LicenceExpired")
        reasons.when(self.now > request.deadline, "DeadlinePassed")
        reasons.when(signer != licence.owner, "SignatureInvalid")
        reasons.when((licence_id, request) in self.requests_used, "RequestUsed")
        reasons.refuse()
        self.requests_used.add((licence_id, request))
        self._take(licence_id, licence.amount)
        handed = {"recipientKey": request.recipient_key, "wrappedKeyHash": request.wrapped_key_hash}
        self.emit("KeyDelivered", licenceId=licence_id, holder=signer, **handed)

    def _delivers(self, terms: Terms, by: str) -> bool:
        operator = self.operators.get(terms.operatorId)
        return self.owner_of_model(terms.modelId) == by or bool(
            operator and operator.key == by and not operator.disabled
        )

    # ------------------------------------------------------------------ income

    def collect(self, licence_ids: Sequence[int]) -> None:
        reasons = Reasons()
        reasons.when(len(licence_ids) > BATCH, "BatchInvalid")
        reasons.refuse()
        for licence_id in licence_ids:
            if licence_id in self.licences:
                self._settle(licence_id)

    def split(self, plan_id: int) -> Shares:
        """Credit what the plan earned since the last split. The parts that were credited."""
        plan = self._plan(plan_id)
        terms = plan.terms
        ancestors = self.registry.models[terms.modelId].ancestors
        parts = self.shares(plan_id, plan.earned) - self.shares(plan_id, plan.split)
        plan.split = plan.earned
        if not parts.total:
            return parts
        payee = self.operators[terms.operatorId].payee if terms.operatorId else NOBODY
        self.books.credit_account(self.treasury, terms.token, parts.fee)
        self.books.credit_account(payee, terms.token, parts.service)
        credited = {"planId": plan_id, "token": terms.token}
        for (model_id, _), part in zip(ancestors, parts.ancestors, strict=True):
            self.books.credit_model(model_id, terms.token, part)
            if part:
                self.emit("AncestorCredited", **credited, modelId=model_id, amount=part)
        self.books.credit_model(terms.modelId, terms.token, parts.publisher)
        shares = {"fee": parts.fee, "service": parts.service, "publisher": parts.publisher}
        self.emit("IncomeSplit", **credited, amount=parts.total, treasury=self.treasury, payee=payee, **shares)
        return parts

    def shares(self, plan_id: int, income: int) -> Shares:
        terms = self.plans[plan_id].terms
        bps = [part for _, part in self.registry.models[terms.modelId].ancestors]
        return income_shares(income, fee_bps=terms.feeBps, service_bps=terms.serviceBps, ancestor_bps=bps)

    def withdraw(self, model_id: int, token: str, to: str, *, by: str) -> int:
        reasons = Reasons()
        credit = self.books.models.get((model_id, token))
        reasons.when(self.owner_of_model(model_id) != by, "NotModelOwner")
        reasons.when(not (credit and credit.open), "NothingToWithdraw")
        self._recipient_check(reasons, to)
        reasons.refuse()
        assert credit is not None
        self.emit("IncomeWithdrawn", modelId=model_id, token=token, to=to, amount=credit.open)
        return self._pay_credit(credit, token, to)

    def withdraw_account(self, token: str, to: str, *, by: str) -> int:
        reasons = Reasons()
        credit = self.books.accounts.get((by, token))
        reasons.when(not (credit and credit.open), "NothingToWithdraw")
        self._recipient_check(reasons, to)
        reasons.refuse()
        assert credit is not None
        self.emit("AccountWithdrawn", account=by, token=token, to=to, amount=credit.open)
        return self._pay_credit(credit, token, to)

    # ------------------------------------------------------------------ the token

    def transfer(self, licence_id: int, to: str, *, by: str) -> None:
        reasons = Reasons()
        plan = self.plans.get(licence_id >> 32)
        reasons.when(plan is None or not plan.terms.flags & TRANSFERABLE, "LicenceBound")
        reasons.when(licence_id not in self.licences, "TokenDoesNotExist")
        licence = self.licences.get(licence_id)
        if licence is None:
            raise reasons.refusal()
        reasons.when(licence.owner != by, "NotOwnerNorApproved")
        reasons.when(licence.cancelled_at is not None, "LicenceIsCancelled")
        reasons.refuse()
        licence.owner = to

    # ------------------------------------------------------------------ views

    def valid(self, licence_id: int) -> bool:
        licence = self.licences.get(licence_id)
        if licence is None or licence.cancelled_at is not None:
            return False
        terms = self.plans[licence.plan_id].terms
        if self.suspended(terms.modelId) or (terms.period and self.clock(terms.modelId) >= licence.expiry):
            return False
        return not terms.calls or licence.used < licence.total

    def licence_state(self, licence_id: int) -> dict[str, Any]:
        """The struct `LicenceState` of the interface."""
        licence = self.licences.get(licence_id)
        if licence is None:
            return _no_licence()
        terms = self.plans[licence.plan_id].terms
        behind = self.clocks[terms.modelId].behind(self.now)
        cancelled = licence.cancelled_at
        return {
            "exists": True,
            "owner": licence.owner,
            "planId": licence.plan_id,
            "modelId": terms.modelId,
            "expiry": licence.expiry + behind if terms.period else 0,
            "used": licence.used,
            "calls": licence.total,
            "base": licence.base,
            "flags": terms.flags,
            "valid": self.valid(licence_id),
            "suspended": self.suspended(terms.modelId),
            "settleAt": cancelled + REPORT_WINDOW if cancelled is not None else 0,
            "amount": licence.amount,
            "taken": licence.taken,
            "vested": self.vested(licence_id),
            "start": licence.start + behind if terms.vesting and cancelled is None else 0,
        }

    def plan_state(self, plan_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The structs `PlanTerms` and `PlanState` of the interface."""
        plan = self.plans[plan_id]
        names = ("live", "sold", "retired", "earned", "split")
        return asdict(plan.terms), {name: getattr(plan, name) for name in names}

    def owed(self, token: str) -> int:
        """All that the market owes in a token: held for holders, earned and not split, credited and not withdrawn."""
        licences = [licence for licence in self.licences.values() if self.plans[licence.plan_id].terms.token == token]
        held = sum(licence.amount - licence.taken for licence in licences)
        income = sum(plan.earned - plan.split for plan in self.plans.values() if plan.terms.token == token)
        return held + income + self.credits(token)

    # ------------------------------------------------------------------ helpers

    def _plan(self, plan_id: int) -> Plan:
        reasons = Reasons()
        reasons.when(plan_id not in self.plans, "PlanUnknown")
        reasons.refuse()
        return self.plans[plan_id]

    def _licence(self, licence_id: int) -> Licence:
        reasons = Reasons()
        reasons.when(licence_id not in self.licences, "LicenceUnknown")
        reasons.refuse()
        return self.licences[licence_id]


def _no_licence() -> dict[str, Any]:
    state: dict[str, Any] = {"exists": False, "owner": NOBODY, "planId": 0, "modelId": 0, "expiry": 0}
    state |= {"used": 0, "calls": 0, "base": 0, "flags": 0, "valid": False, "suspended": False, "settleAt": 0}
    return state | {"amount": 0, "taken": 0, "vested": 0, "start": 0}
