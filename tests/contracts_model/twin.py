"""The contracts and the model, which do the same at the same second and are compared after every step.

An action is the same call on both. Both must refuse it, the contract for one of the reasons that the model has, or
both must carry it out with the same events. Then everything that the contracts show is compared with the model.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.bindings import licence_market, model_registry, usd_token
from chain.bindings.base import views_require
from chain.bindings.structs import PlanTerms, Share
from chain.transactions import TransactionRequest
from tests.contracts_model import signing
from tests.contracts_model.arithmetic import Shares
from tests.contracts_model.chain_side import ChainSide
from tests.contracts_model.market_model import MarketModel
from tests.contracts_model.refusals import Refused
from tests.contracts_model.registry_model import RegistryModel
from tests.contracts_model.states import NATIVE, Operator, Request, Terms
from tests.fixtures.contracts import Market

TERMS_TYPE = "(uint256,address,uint96,uint32,uint32,uint32,uint24,uint16,uint32,uint16,uint16,uint8)"
UNKNOWN_LICENCE = (7 << 64) | (7 << 32) | 7


class Twin:
    """`now` is the time of the newest block; each action happens `after` seconds later, at least 1."""

    def __init__(self, market: Market) -> None:
        self.fixture = market
        self.chain = ChainSide(market)
        self.contract, self.registry_contract, self.usd_contract = licence_market(), model_registry(), usd_token()
        self.address, self.usd = self.contract.address, market.usd
        self.accounts = list(market.keys)
        self.error: str | None = None
        # What the log alone says that each plan earned.
        self.logged: Counter[int] = Counter()
        registry = RegistryModel()
        assert self.registry_contract.model_count().read() == 0
        self.model = MarketModel(
            registry,
            market=self.address,
            admin=self.contract.owner().read(),
            treasury=self.contract.treasury().read(),
            now=self.chain.now(),
        )
        self._roles_copy()
        self._balances_copy()

    def _roles_copy(self) -> None:
        """The model begins with what the deployment left: fee, roles, allowed tokens, operators."""
        model, contract = self.model, self.contract
        model.fee_bps, model.paused = contract.fee_bps().read(), contract.paused().read()
        model.guardian, model.pauser = contract.guardian().read(), contract.pauser().read()
        if contract.token_allowed(self.usd).read():
            model.tokens.add(self.usd)
        for operator_id in range(1, contract.operator_count().read() + 1):
            model.operators[operator_id] = self._operator(operator_id)

    def _balances_copy(self) -> None:
        for token in (NATIVE, self.usd):
            for account, balance in self._balances(token).items():
                self.model.books.balances[token, account] = balance

    # ------------------------------------------------------------------ doing the same on both sides

    def both(
        self, request: TransactionRequest, action: Callable[[], Any], *, by: str, after: int = 1, compare: bool = True
    ) -> Any:
        """Carry out `request` and `action`. What the model answers, or None where both refused (see `error`)."""
        model = self.model
        model.now += after
        model.log.clear()
        result, reasons = None, None
        try:
            result = action()
        except Refused as refused:
            reasons = refused.reasons
        outcome = self.chain.send(request, by=by, at=model.now)
        model.books.move(NATIVE, outcome.gas_cost_wei, source=by, to="gas")
        self.error = outcome.error
        if reasons is not None:
            assert outcome.error in reasons, f"the contract: {outcome.error or 'no refusal'}; the model: {reasons}"
        else:
            assert outcome.error is None, f"the contract refused with {outcome.error}"
            assert _sorted(outcome.events) == _sorted(map(self._event, model.log))
            self._income_add(outcome.events)
        if compare:
            self.compare()
        return result

    def _income_add(self, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
        for name, args in events:
            if name in {"LicenceBought", "LicenceRenewed"}:
                self.logged[args["licenceId"] >> 32] += args["entry"]
            elif name == "IncomeVested":
                self.logged[args["licenceId"] >> 32] += args["amount"]

    def wait(self, seconds: int) -> None:
        self.model.now += seconds
        self.chain.wait(self.model.now)

    def _event(self, event: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        name, args = event
        return name, args | {"planHash": "0x" + self.plan_hash(args["planId"]).hex()} if name == "PlanAdded" else args

    # ------------------------------------------------------------------ actions

    def publish(self, *, by: str, parents: Sequence[tuple[int, int]] = (), derivative_bps: int = 0, **at: Any) -> int:
        shares = [Share(parent, bps) for parent, bps in parents]
        request = self.registry_contract.publish(b"\x01" * 32, shares, derivative_bps)
        return self.both(
            request, lambda: self._publish(by=by, parents=parents, derivative_bps=derivative_bps), by=by, **at
        )

    def _publish(self, *, by: str, parents: Sequence[tuple[int, int]], derivative_bps: int) -> int:
        registry = self.model.registry
        model_id = registry.publish(by=by, parents=parents, derivative_bps=derivative_bps)
        digest = "0x" + "01" * 32
        self.model.emit("ModelPublished", modelId=model_id, publisher=by, digest=digest)
        self.model.emit("ReleasePublished", modelId=model_id, number=1, digest=digest)
        if parents:
            lists = {"parents": parents, "ancestors": registry.models[model_id].ancestors}
            named = {name: [{"modelId": m, "bps": bps} for m, bps in rows] for name, rows in lists.items()}
            self.model.emit("LineageStored", modelId=model_id, **named)
        if derivative_bps:
            self.model.emit("DerivativeBpsSet", modelId=model_id, bps=derivative_bps)
        return model_id

    def sell_model(self, model_id: int, to: str, *, by: str, **at: Any) -> None:
        request = self.registry_contract.transfer_from(by, to, model_id)
        self.both(request, lambda: self.model.registry.transfer(model_id, to, by=by), by=by, **at)

    def add_plan(self, model_id: int, *, by: str, after: int = 1, **terms: Any) -> int:
        fee = {"feeBps": self.model.fee_bps} if "feeBps" not in terms else {}
        plan = Terms(model_id, **terms, **fee)
        request = self.contract.add_plan(PlanTerms(*astuple(plan)))
        return self.both(request, lambda: self.model.add_plan(plan, by=by), by=by, after=after)

    def retire_plan(self, plan_id: int, *, by: str, **at: Any) -> None:
        self.both(self.contract.retire_plan(plan_id), lambda: self.model.retire_plan(plan_id, by=by), by=by, **at)

    def buy(self, plan_id: int, *, by: str, recipient: str | None = None, **at: Any) -> int:
        recipient = recipient or by
        agreed, value = self.plan_hash(plan_id), self.value_wei(plan_id)
        request = self.contract.buy(plan_id, agreed, recipient, value_wei=value)
        return self.both(request, lambda: self.model.buy(plan_id, recipient, payer=by), by=by, **at)

    def bought(
        self,
        request: TransactionRequest,
        plan_id: int,
        *,
        payer: str,
        recipient: str | None = None,
        by: str | None = None,
    ) -> int:
        """A purchase in another form than `buy`."""
        return self.both(request, lambda: self.model.buy(plan_id, recipient or payer, payer=payer), by=by or payer)

    def renew(self, licence_id: int, *, by: str, **at: Any) -> None:
        plan_id = licence_id >> 32
        request = self.contract.renew(licence_id, self.plan_hash(plan_id), value_wei=self.value_wei(plan_id))
        self.both(request, lambda: self.model.renew(licence_id, payer=by), by=by, **at)

    def cancel(self, licence_id: int, to: str, *, by: str, **at: Any) -> int | None:
        request = self.contract.cancel(licence_id, to)
        return self.both(request, lambda: self.model.cancel(licence_id, to, by=by), by=by, **at)

    def cancel_by_sig(
        self, licence_id: int, to: str, *, signer: str, by: str, lasts: int = 100, after: int = 1
    ) -> int | None:
        """The signed request holds for `lasts` seconds from now on."""
        deadline = self.model.now + lasts
        signature = self._sign("Cancel", signer, licenceId=licence_id, to=to, deadline=deadline)
        request = self.contract.cancel_by_sig(licence_id, to, deadline, signature)
        return self.both(
            request,
            lambda: self.model.cancel_by_sig(licence_id, to, signer=signer, deadline=deadline),
            by=by,
            after=after,
        )

    def settle(self, licence_id: int, to: str, *, by: str, **at: Any) -> int:
        request = self.contract.settle(licence_id, to)
        return self.both(request, lambda: self.model.settle(licence_id, to, by=by), by=by, **at)

    def report(self, licence_ids: Sequence[int], used: Sequence[int], *, by: str, **at: Any) -> Any:
        request = self.contract.report_usage(licence_ids, used)
        return self.both(request, lambda: self.model.report_usage(licence_ids, used, by=by), by=by, **at)

    def deliver(self, licence_id: int, request: Request, *, by: str, signer: str, **at: Any) -> None:
        asked = {"licenceId": licence_id, "recipientKey": request.recipient_key, "deadline": request.deadline}
        call = self.contract.deliver(
            licence_id,
            request.recipient_key,
            request.deadline,
            holder_signature=self._sign("Deliver", signer, **asked),
            wrapped_key_hash=request.wrapped_key_hash,
        )
        self.both(call, lambda: self.model.deliver(licence_id, request, by=by, signer=signer), by=by, **at)

    def collect(self, licence_ids: Sequence[int], *, by: str, **at: Any) -> None:
        self.both(self.contract.collect(licence_ids), lambda: self.model.collect(licence_ids), by=by, **at)

    def split(self, plan_id: int, *, by: str, **at: Any) -> Shares:
        return self.both(self.contract.split(plan_id), lambda: self.model.split(plan_id), by=by, **at)

    def withdraw(self, model_id: int, token: str, to: str, *, by: str, **at: Any) -> int:
        request = self.contract.withdraw(model_id, token, to)
        return self.both(request, lambda: self.model.withdraw(model_id, token, to, by=by), by=by, **at)

    def withdraw_account(self, token: str, to: str, *, by: str, **at: Any) -> int:
        request = self.contract.withdraw_account(token, to)
        return self.both(request, lambda: self.model.withdraw_account(token, to, by=by), by=by, **at)

    def transfer(self, licence_id: int, to: str, *, by: str, **at: Any) -> None:
        request = self.contract.transfer_from(by, to, licence_id)
        self.both(request, lambda: self.model.transfer(licence_id, to, by=by), by=by, **at)

    def role(self, function: str, *args: Any, by: str, **at: Any) -> Any:
        """An action that has the same name and arguments on both sides: those of `RolesModel`."""
        request = getattr(self.contract, function)(*args)
        return self.both(request, lambda: getattr(self.model, function)(*args, by=by), by=by, **at)

    def refused(self, request: TransactionRequest, error: str, *, by: str, **at: Any) -> None:
        """The contract must refuse `request` for a reason that the model does not know of, and change nothing."""

        def refuse() -> None:
            raise Refused(frozenset({error}))

        self.both(request, refuse, by=by, **at)

    def approve_all(self, *, by: str, operator: str) -> None:
        self.both(self.contract.set_approval_for_all(operator, True), lambda: None, by=by)

    def wallet_deploy(self) -> str:
        """A contract that calls every signature its own (ERC-1271). It answers each call with 0x1626ba7e."""
        runtime = "631626ba7e60e01b5f5260205ff3"
        code = "0x600e600a5f39600e5ff3" + runtime
        rpc = self.fixture.anvil.rpc
        self.model.now += 1
        rpc("evm_setNextBlockTimestamp", self.model.now)
        sender = self.accounts[0]
        receipt = self.chain.receipt(rpc("eth_sendTransaction", {"from": sender, "data": code}))
        cost = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        self.model.books.move(NATIVE, cost, source=sender, to="gas")
        return to_checksum_address(receipt["contractAddress"])

    def approve(self, account: str, amount: int) -> None:
        self.both(self.usd_contract.approve(self.address, amount), lambda: None, by=account, compare=False)

    # ------------------------------------------------------------------ comparing

    def compare(self) -> None:
        """Everything that the contracts show, with the model."""
        self._compare_licences()
        self._compare_plans()
        self._compare_operators()
        self._compare_credits()
        self._compare_balances()

    def _compare_licences(self) -> None:
        sold = [
            plan_id << 32 | serial for plan_id, plan in self.model.plans.items() for serial in range(1, plan.sold + 1)
        ]
        ids = [*sold, UNKNOWN_LICENCE]
        states = self.contract.licence_states(ids).read()
        for licence_id, state in zip(ids, states, strict=True):
            expected = self.model.licence_state(licence_id)
            actual = dict(zip(expected, astuple(state), strict=True))
            assert actual == expected, f"licence {licence_id:#x}"

    def _compare_plans(self) -> None:
        ids = list(self.model.plans)
        clocks = list(self.model.registry.models)
        for plan_id, (terms, state) in zip(ids, views_require([self.contract.plan(n) for n in ids]), strict=True):
            expected_terms, expected_state = self.model.plan_state(plan_id)
            assert astuple(terms) == tuple(expected_terms.values())
            assert dict(zip(expected_state, astuple(state), strict=True)) == expected_state, f"plan {plan_id:#x}"
            assert self.logged[plan_id] == state.earned_units
        times = views_require([self.contract.model_clock(n) for n in clocks])
        since = [self.model.clocks[n].suspended_since(self.model.now) for n in clocks]
        assert [astuple(time) for time in times] == [
            (self.model.clock(n), at) for n, at in zip(clocks, since, strict=True)
        ]
        owners = views_require([self.registry_contract.owner_of(n) for n in clocks])
        assert owners == [self.model.registry.models[n].owner for n in clocks]

    def _compare_operators(self) -> None:
        found = {operator_id: self._operator(operator_id) for operator_id in self.model.operators}
        assert found == self.model.operators

    def _operator(self, operator_id: int) -> Operator:
        found = self.contract.operator(operator_id).read()
        return Operator(owner=found.owner, key=found.key, payee=found.payee, disabled=found.is_disabled)

    def _compare_credits(self) -> None:
        books = self.model.books
        of_models = [(n, token) for n in self.model.registry.models for token in (NATIVE, self.usd)]
        of_accounts = [(account, token) for account in self.accounts for token in (NATIVE, self.usd)]
        views = [self.contract.credit(*key) for key in of_models]
        views += [self.contract.account_credit(*key) for key in of_accounts]
        expected = [books.models[key].open if key in books.models else 0 for key in of_models]
        expected += [books.accounts[key].open if key in books.accounts else 0 for key in of_accounts]
        assert views_require(views) == expected

    def _compare_balances(self) -> None:
        for token in (NATIVE, self.usd):
            actual = self._balances(token)
            assert actual == {account: self.model.books.balances[token, account] for account in actual}
            # Nobody gave the market anything here, so that it holds what it owes and not a unit more.
            assert actual[self.address] == self.model.owed(token)

    def _balances(self, token: str) -> dict[str, int]:
        holders = [self.address, *self.accounts]
        if token == NATIVE:
            found = self.chain.balances_wei(holders)
        else:
            found = views_require([self.usd_contract.balance_of(holder) for holder in holders])
        return dict(zip(holders, found, strict=True))

    # ------------------------------------------------------------------ helpers

    def plan_hash(self, plan_id: int) -> bytes:
        """As any buyer can compute it from the terms."""
        plan = self.model.plans.get(plan_id)
        if plan is None:
            return b"\x00" * 32
        return keccak(encode([TERMS_TYPE], [astuple(plan.terms)]))

    def value_wei(self, plan_id: int) -> int:
        plan = self.model.plans.get(plan_id)
        return plan.terms.price if plan and plan.terms.token == NATIVE else 0

    def _sign(self, kind: str, signer: str, **message: Any) -> bytes:
        key = self.fixture.keys.get(signer)
        if key is None:
            # A contract wallet of `wallet_deploy`, which takes any signature.
            return b"anything"
        document = signing.typed(kind, message, chain_id=self.fixture.book.chain_id, contract=self.address)
        return signing.joined(signing.sign(document, key))


def _sorted(events: Iterable[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(events, key=lambda event: (event[0], sorted(map(str, event[1].items()))))
