"""A random walk through everything that ten people can do, on the contracts and in the model at once.

Callers are mostly those who may, arguments mostly those that fit, and times often the very seconds at which something
begins or ends. The model decides what must happen; `Twin` compares.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.contracts_model.arithmetic import clamped
from tests.contracts_model.conftest import Cast
from tests.contracts_model.states import (
    DAY,
    HOUR,
    MAX_VESTING,
    MIN_VESTING,
    NATIVE,
    REPORT_WINDOW,
    SETTLE_AFTER,
    Request,
    Terms,
)
from tests.contracts_model.twin import Twin

MOST_MODELS, MOST_PLANS, MOST_LICENCES = 7, 16, 40
MOST_OPERATORS, MOST_DISABLED = 6, 3
PRICES = (0, 1, 7, 9_999, 1_000_003, 30_000_000, 10**10 + 19)
REASON = "0x" + "5e" * 32

# How often each action is tried, relative to the others.
WEIGHTS = {
    "buy": 40,
    "renew": 20,
    "cancel": 9,
    "cancel_by_sig": 4,
    "settle": 12,
    "report": 40,
    "deliver": 4,
    "collect": 20,
    "split": 20,
    "withdraw": 10,
    "withdraw_account": 8,
    "transfer": 10,
    "publish": 6,
    "sell_model": 3,
    "add_plan": 12,
    "retire_plan": 1,
    "register_operator": 4,
    "set_operator": 2,
    "disable_operator": 1,
    "suspend": 4,
    "confirm_suspension": 2,
    "resume": 5,
    "set_fee_bps": 2,
    "set_treasury": 2,
    "pause": 1,
    "unpause": 5,
    "forbid_token": 1,
    "allow_token": 5,
    "wait": 8,
}


class Walk:
    """`done` counts actions that were carried out, `refused` those that both sides refused, `seen` the situations."""

    def __init__(self, twin: Twin, cast: Cast, *, seed: int) -> None:
        self.twin, self.cast, self.model = twin, cast, twin.model
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.fingerprints: dict[int, tuple[str, Any]] = {}

    def step(self) -> str:
        """One action. Its name."""
        (name,) = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        name = "wait" if self._enough(name) else name
        action: Callable[[], None] = getattr(self, name)
        action()
        (self.done if self.twin.error is None else self.refused)[name] += 1
        self._notice()
        return name

    def _enough(self, name: str) -> bool:
        """Whether there are as many of a kind as a comparison after each step can bear."""
        model = self.model
        disabled = sum(operator.disabled for operator in model.operators.values())
        return {
            "publish": len(model.registry.models) >= MOST_MODELS,
            "add_plan": len(model.plans) >= MOST_PLANS,
            "buy": len(model.licences) >= MOST_LICENCES,
            "register_operator": len(model.operators) >= MOST_OPERATORS,
            "disable_operator": disabled >= MOST_DISABLED,
        }.get(name, False)

    def _notice(self) -> None:
        """Count the situations in which a wrong rule would show."""
        for licence_id, licence in self.model.licences.items():
            if licence.cancelled_at is not None:
                self.seen["waits for its settlement"] += 1
                continue
            terms = self._terms(licence_id)
            span = licence.expiry - licence.start if terms.period else terms.vesting
            by_time = clamped(self.model.clock(terms.modelId) - licence.start, span)
            by_use = clamped(licence.used - licence.base, licence.total - licence.base) if terms.calls else 0
            price = licence.amount > 1_000
            self.seen["vests by time"] += price and 0 < by_time < 1
            self.seen["vests by time and use"] += price and 0 < by_time < 1 and 0 < by_use < 1
            self.seen["renewed with a remainder"] += price and licence.amount > terms.price
            self.seen["used before this term"] += price and licence.base > 0
            self.seen["suspended"] += price and self.model.suspended(terms.modelId)
            self.seen["was suspended"] += price and self.model.clocks[terms.modelId].seconds > 0

    # ------------------------------------------------------------------ choices

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def anyone(self) -> str:
        return self.random.choice(self.twin.accounts)

    def rather(self, account: str | None) -> str:
        """The account that may, or now and then another."""
        return self.anyone() if account is None or self.chance(0.1) else account

    def after(self) -> int:
        """Seconds until the next action: a moment, a while, or until something begins or ends."""
        kind = self.random.random()
        if kind < 0.55:
            return self.random.choice((1, 1, 2, 60, 777))
        if kind < 0.85:
            return self.random.randint(1, self.random.choice((HOUR, REPORT_WINDOW, DAY, 5 * DAY)))
        moments = [moment - self.model.now for moment in self.moments()]
        ahead = sorted(moment for moment in moments if 0 < moment < 100 * DAY)
        # Rather one of the next, so that most are reached while others are still to come.
        return self.random.choice(ahead[:9] if self.chance(0.9) else ahead) if ahead else DAY

    def moments(self) -> list[int]:
        """Block times at which a licence or a suspension changes, and the seconds beside them."""
        times = []
        for licence_id, licence in self.model.licences.items():
            state = self.model.licence_state(licence_id)
            times += [state["expiry"], state["settleAt"]]
            if state["start"]:
                times.append(state["start"] + self.model.plans[licence.plan_id].terms.vesting)
        for clock in self.model.clocks.values():
            if since := clock.suspended_since(self.model.now):
                times += [clock.lapses_at or 0, since + SETTLE_AFTER]
        return [time + beside for time in times if time for beside in (-1, 0, 1)]

    def a_licence(self) -> int:
        """One that exists, now and then one that was settled or never was."""
        if not self.model.licences or self.chance(0.03):
            return self.random.choice(list(self.model.plans)) << 32 | self.random.randint(1, 9)
        return self.random.choice(list(self.model.licences))

    def a_plan(self) -> int:
        return self.random.choice(list(self.model.plans))

    def a_model(self) -> int:
        return self.random.choice(list(self.model.registry.models))

    def licences(self, most: int = 12) -> list[int]:
        return [self.a_licence() for _ in range(self.random.randint(0, most))]

    def holder_of(self, licence_id: int) -> str:
        licence = self.model.licences.get(licence_id)
        return licence.owner if licence else self.anyone()

    def key_of(self, licence_id: int) -> str | None:
        operator = self.model.operators.get(self.model.plans[licence_id >> 32].terms.operatorId)
        return operator.key if operator else None

    def recipient(self) -> str:
        return self.random.choice((NATIVE, self.twin.address)) if self.chance(0.03) else self.anyone()

    # ------------------------------------------------------------------ models and plans

    def publish(self) -> None:
        models = self.model.registry.models
        chosen = self.random.sample(list(models), k=min(len(models), self.random.randint(0, 3)))
        parents = [
            (parent, models[parent].derivative_bps + self.random.choice((0, 0, 1, 333, 900))) for parent in chosen
        ]
        bps = self.random.choice((0, 250, 700))
        self.twin.publish(by=self.anyone(), parents=parents, derivative_bps=bps, after=self.after())

    def sell_model(self) -> None:
        model_id = self.a_model()
        owner = self.model.registry.models[model_id].owner
        self.twin.sell_model(model_id, self.anyone(), by=owner, after=self.after())

    def add_plan(self) -> None:
        model_id = self.a_model()
        owner = self.rather(self.model.registry.models[model_id].owner)
        self.twin.add_plan(model_id, by=owner, after=self.after(), **self.terms())

    def terms(self) -> dict[str, Any]:
        period = self.random.choice((0, 0, 1, 3 * DAY, 30 * DAY, 30 * DAY, 365 * DAY))
        vesting = period if period else self.random.choice((MIN_VESTING, 7 * DAY, MAX_VESTING))
        calls = self.random.choice((0, 0, 1, 10, 1_000, 2**30))
        operator_id = self.random.randint(1, len(self.model.operators)) if calls or self.chance(0.6) else 0
        return {
            "token": self.random.choice((NATIVE, self.twin.usd)),
            "price": self.random.choice(PRICES),
            "period": period,
            "vesting": 0 if self.chance(0.15) else vesting,
            "calls": calls,
            "supply": self.random.choice((1, 5, 2**24 - 1)),
            "operatorId": operator_id,
            "serviceBps": self.random.choice((0, 1, 3_333, 5_000)) if operator_id else 0,
            "entryBps": self.random.choice((0, 0, 1, 777, 2_000)),
            "flags": self.random.choice((1, 2, 3)) | self.random.choice((0, 4)) | (8 if period or calls else 0),
        }

    def retire_plan(self) -> None:
        plan_id = self.a_plan()
        owner = self.model.registry.models[plan_id >> 32].owner
        self.twin.retire_plan(plan_id, by=self.rather(owner), after=self.after())

    # ------------------------------------------------------------------ holders

    def buy(self) -> None:
        recipient = self.anyone() if self.chance(0.2) else None
        on_sale = [plan_id for plan_id in self.model.plans if self._sells(plan_id)]
        plan_id = self.random.choice(on_sale) if on_sale and self.chance(0.9) else self.a_plan()
        self.twin.buy(plan_id, by=self.anyone(), recipient=recipient, after=self.after())

    def _sells(self, plan_id: int) -> bool:
        plan = self.model.plans[plan_id]
        return not (plan.retired or plan.live >= plan.terms.supply or self.model.suspended(plan.terms.modelId))

    def renew(self) -> None:
        renewable = [licence_id for licence_id in self.model.licences if self._renews(licence_id)]
        licence_id = self.random.choice(renewable) if renewable and self.chance(0.8) else self.a_licence()
        metered = licence_id in self.model.licences and self.model.plans[licence_id >> 32].terms.calls
        by = self.rather(self.holder_of(licence_id)) if metered else self.anyone()
        self.twin.renew(licence_id, by=by, after=self.after())

    def _renews(self, licence_id: int) -> bool:
        plan = self.model.plans[licence_id >> 32]
        return bool(plan.terms.flags & 8) and not plan.retired

    def cancel(self) -> None:
        licence_id = self.a_licence()
        self.twin.cancel(licence_id, self.recipient(), by=self.rather(self.holder_of(licence_id)), after=self.after())

    def cancel_by_sig(self) -> None:
        licence_id = self.a_licence()
        signer, after = self.rather(self.holder_of(licence_id)), self.after()
        lasts = after + self.random.choice((-1, 0, 1, DAY))
        self.twin.cancel_by_sig(licence_id, self.recipient(), signer=signer, by=self.anyone(), lasts=lasts, after=after)

    def settle(self) -> None:
        cancelled = [licence_id for licence_id, row in self.model.licences.items() if row.cancelled_at is not None]
        licence_id = self.random.choice(cancelled) if cancelled and self.chance(0.8) else self.a_licence()
        holder = self.holder_of(licence_id)
        if self.chance(0.5):
            self.twin.settle(licence_id, self.recipient(), by=self.rather(holder), after=self.after())
        else:
            self.twin.settle(licence_id, self.rather(holder), by=self.anyone(), after=self.after())

    def transfer(self) -> None:
        licence_id = self.a_licence()
        owner = self.holder_of(licence_id)
        self.twin.transfer(licence_id, self.anyone(), by=owner, after=self.after())

    # ------------------------------------------------------------------ use and income

    def report(self) -> None:
        operator_id = self.random.choice(list(self.model.operators))
        theirs = [n for n in self.model.licences if self._terms(n).operatorId == operator_id and self._terms(n).calls]
        ids = self.random.choices(theirs, k=self.random.randint(1, 6)) if theirs else []
        ids += self.licences(2)
        self.random.shuffle(ids)
        key = self.rather(self.model.operators[operator_id].key)
        self.twin.report(ids, [self._count(licence_id) for licence_id in ids], by=key, after=self.after())

    def _terms(self, licence_id: int) -> Terms:
        return self.model.plans[licence_id >> 32].terms

    def _count(self, licence_id: int) -> int:
        licence = self.model.licences.get(licence_id)
        if licence is None or self.chance(0.05):
            return self.random.randint(0, 2_000)
        left = licence.total - licence.used
        more = self.random.choice((0, 1, left // 10, left // 10, left // 3, left // 2, left, left + 1))
        return min(2**32 - 1, licence.used + more)

    def deliver(self) -> None:
        licence_id = self.a_licence()
        terms = self.model.plans[licence_id >> 32].terms
        owner = self.model.registry.models[terms.modelId].owner
        by = self.rather(self.key_of(licence_id) if self.chance(0.5) else owner)
        after = self.after()
        request = Request("0x" + "ab" * 32, self.model.now + after + self.random.choice((-1, 0, HOUR)))
        self.twin.deliver(licence_id, request, by=by, signer=self.rather(self.holder_of(licence_id)), after=after)

    def collect(self) -> None:
        self.twin.collect(self.licences(50), by=self.anyone(), after=self.after())

    def split(self) -> None:
        self.twin.split(self.a_plan(), by=self.anyone(), after=self.after())

    def withdraw(self) -> None:
        owed = [key for key, credit in self.model.books.models.items() if credit.open]
        model_id, token = self.random.choice(owed) if owed and self.chance(0.8) else (self.a_model(), NATIVE)
        owner = self.rather(self.model.registry.models[model_id].owner)
        self.twin.withdraw(model_id, token, self.recipient(), by=owner, after=self.after())

    def withdraw_account(self) -> None:
        owed = [key for key, credit in self.model.books.accounts.items() if credit.open]
        account, token = self.random.choice(owed) if owed else (self.anyone(), NATIVE)
        self.twin.withdraw_account(token, self.recipient(), by=account, after=self.after())

    # ------------------------------------------------------------------ operators and roles

    def register_operator(self) -> None:
        self.twin.role("register_operator", self.anyone(), self.anyone(), by=self.anyone(), after=self.after())

    def set_operator(self) -> None:
        operator_id = self.random.choice(list(self.model.operators))
        owner = self.rather(self.model.operators[operator_id].owner)
        self.twin.role("set_operator", operator_id, self.anyone(), self.recipient(), by=owner, after=self.after())

    def disable_operator(self) -> None:
        self._role("disable_operator", self.random.choice(list(self.model.operators)), by=self.cast.guardian)

    def suspend(self) -> None:
        self._role("suspend", self.a_model(), REASON, by=self.cast.guardian)

    def confirm_suspension(self) -> None:
        self._role("confirm_suspension", self._suspended(), by=self.cast.admin)

    def resume(self) -> None:
        self._role("resume", self._suspended(), by=self.random.choice((self.cast.admin, self.cast.guardian)))

    def _suspended(self) -> int:
        found = [model_id for model_id in self.model.registry.models if self.model.suspended(model_id)]
        return self.random.choice(found) if found else self.a_model()

    def set_fee_bps(self) -> None:
        self._role("set_fee_bps", self.random.choice((0, 1, 250, 500, 501)), by=self.cast.admin)

    def set_treasury(self) -> None:
        self._role("set_treasury", self.recipient(), by=self.cast.admin)

    def pause(self) -> None:
        self._role("set_paused", True, by=self.cast.guardian)

    def unpause(self) -> None:
        self._role("set_paused", False, by=self.cast.admin)

    def forbid_token(self) -> None:
        self._role("set_token_allowed", self.twin.usd, False, by=self.cast.admin)

    def allow_token(self) -> None:
        self._role("set_token_allowed", self.twin.usd, True, by=self.cast.admin)

    def _role(self, function: str, *args: Any, by: str) -> None:
        self.twin.role(function, *args, by=self.rather(by), after=self.after())

    def wait(self) -> None:
        self.twin.error = None
        self.twin.wait(self.after())
        self.twin.compare()

    # ------------------------------------------------------------------ fingerprints

    def fingerprints_compare(self) -> None:
        """Whatever changed about a licence, but its holder and the time, changed its fingerprint (ERC-5646)."""
        for licence_id in self.model.licences:
            fingerprint = self.twin.contract.get_state_fingerprint(licence_id).read()
            state = self._fixed_state(licence_id)
            before = self.fingerprints.get(licence_id)
            if before is not None and before[1] != state:
                assert before[0] != fingerprint
            self.fingerprints[licence_id] = (fingerprint, state)

    def _fixed_state(self, licence_id: int) -> tuple[Any, ...]:
        licence = self.model.licences[licence_id]
        clock = self.model.clocks[licence_id >> 64]
        money = (licence.amount, licence.taken, licence.start)
        use = (licence.used, licence.total, licence.expiry, licence.cancelled_at)
        return (*money, *use, clock.suspended_at, clock.lapses_at)
