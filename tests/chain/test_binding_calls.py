"""Every call and view of the bindings, on a real chain: what they send is what the contracts understand."""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from weighhouse.core import eip712
from weighhouse.core.eip712 import Domain, TypedData

from chain.abi import event_decode
from chain.bindings import events, licence_market, model_registry, receipt_anchor, usd_token
from chain.bindings.anchor import Anchored
from chain.bindings.base import View
from chain.bindings.market import ModelClock, Royalty
from chain.bindings.money import TransferAuthorization
from chain.bindings.structs import Authorization, Operator, PlanTerms, Right, Share, SkipReason
from chain.gateway.reverts import NotSuspended
from chain.market_roles import MAX_FEE_BPS
from chain.transactions import TransactionRequest, receipt_wait
from tests.fixtures.contracts import NATIVE, Market

DIGEST, KEY, SALT = ("0x" + digit * 64 for digit in "123")
DAY = 86_400
# The node would estimate for the time of the newest block; at a later one more may vest and cost more.
GAS = 3_000_000
ERC721 = "0x80ac58cd"


class Calls:
    """Sends requests as development accounts, writes down which methods made them, and reads the events."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.names = {entry.address.lower(): name for name, entry in market.book.contracts.items()}

    def __call__(self, request: TransactionRequest, *, by: str) -> list[Any]:
        transaction = {"from": by, "gas": hex(GAS), **request.wallet_params()}
        self.market.gateway.request("eth_estimateGas", [transaction])
        tx_hash = self.market.gateway.request("eth_sendTransaction", [transaction])
        receipt_wait(tx_hash)
        logs = self.market.anvil.rpc("eth_getTransactionReceipt", tx_hash)["logs"]
        return [self._typed(log) for log in logs]

    def _typed(self, log: dict[str, Any]) -> Any:
        contract = self.names[log["address"]]
        name, args = event_decode(contract, tuple(log["topics"]), log["data"])
        if contract == "TestUSD" and name in {"Transfer", "Approval"}:
            name = f"Token{name}"
        return getattr(events, name).of(args)

    def sign(self, typed: TypedData, *, by: str) -> tuple[int, str, str, str]:
        """v, r, s, and all three as bytes."""
        signed = Account.unsafe_sign_hash(typed.digest(), self.market.keys[by])
        r, s = signed.r.to_bytes(32), signed.s.to_bytes(32)
        return signed.v, "0x" + r.hex(), "0x" + s.hex(), "0x" + (r + s + bytes([signed.v])).hex()


@pytest.fixture
def do(market) -> Calls:
    return Calls(market)


def one(found: list[Any], kind: type) -> Any:
    (event,) = [event for event in found if isinstance(event, kind)]
    return event


def terms(market: Market, model_id: int, **changes: Any) -> PlanTerms:
    plain = {
        "model_id": model_id,
        "token": market.usd,
        "price_units": 10_000,
        "period_s": 30 * DAY,
        "vesting_s": 30 * DAY,
        "calls": 0,
        "supply": 5,
        "fee_bps": licence_market().fee_bps().read(),
        "operator_id": 0,
        "service_bps": 0,
        "entry_bps": 1000,
        "flags": int(Right.RUN | Right.RENEWABLE),
    }
    return PlanTerms(**plain | changes)


def plan_of(do: Calls, **changes: Any) -> tuple[int, str]:
    """A plan of a new model: its id and hash."""
    publisher = do.market.publisher
    model_id = one(do(model_registry().publish(DIGEST, [], 0), by=publisher), events.ModelPublished).model_id
    added = one(do(licence_market().add_plan(terms(do.market, model_id, **changes)), by=publisher), events.PlanAdded)
    assert licence_market().plan_hash(added.plan_id).read() == added.plan_hash
    return added.plan_id, added.plan_hash


def token_domain() -> Domain:
    domain = usd_token().eip712_domain().read()
    return Domain(domain.name, domain.version, domain.chain_id, domain.verifying_contract)


def market_domain() -> Domain:
    return eip712.market_domain(31337, licence_market().address)


def test_models_declare_parents_and_release_again(do, market):
    registry, publisher = model_registry(), market.publisher
    parent = one(do(registry.publish(DIGEST, [], 300), by=publisher), events.ModelPublished).model_id
    published = do(registry.publish(KEY, [Share(parent, 400)], 0), by=publisher)
    child = one(published, events.ModelPublished).model_id
    shares = (Share(parent, 400),)
    assert one(published, events.LineageStored) == events.LineageStored(child, shares, shares)
    assert registry.ancestors(child).read() == shares
    before = registry.get_state_fingerprint(child).read()
    released = do(registry.release(child, SALT), by=publisher)
    assert one(released, events.ReleasePublished) == events.ReleasePublished(child, 2, SALT)
    assert registry.get_state_fingerprint(child).read() != before
    changed = do(registry.set_derivative_bps(parent, 50), by=publisher)
    assert changed == [events.DerivativeBpsSet(parent, 50)]
    assert (registry.derivative_bps(parent).read(), registry.release_count(child).read()) == (50, 2)
    assert (registry.latest_digest(child).read(), registry.model_count().read()) == (SALT, child)
    limits = (registry.max_ancestors(), registry.max_ancestor_bps(), registry.max_derivative_bps())
    assert [view.read() for view in limits] == [8, 5000, 5000]


@pytest.mark.parametrize("contract", [model_registry, licence_market])
def test_tokens_are_approved_and_transferred(do, market, contract):
    token = contract()
    owner = market.publisher
    if contract is licence_market:
        token_id = market.buy(plan_of(do, flags=int(Right.RUN | Right.TRANSFERABLE))[0], by=owner)
    else:
        token_id = market.publish()
    approved = one(do(token.approve(market.outsider, token_id), by=owner), events.Approval)
    assert approved == events.Approval(owner, market.outsider, token_id)
    assert token.get_approved(token_id).read() == market.outsider
    moved = one(do(token.transfer_from(owner, market.buyer, token_id), by=market.outsider), events.Transfer)
    assert moved == events.Transfer(owner, market.buyer, token_id)
    do(token.set_approval_for_all(owner, True), by=market.buyer)
    assert token.is_approved_for_all(market.buyer, owner).read() is True
    do(token.safe_transfer_from(market.buyer, owner, token_id), by=owner)
    do(token.safe_transfer_from_with_data(owner, market.buyer, token_id, b"\x01\x02"), by=owner)
    assert (token.owner_of(token_id).read(), token.balance_of(market.buyer).read()) == (market.buyer, 1)
    assert token.token_uri(token_id).read().startswith("ipfs://")
    assert token.contract_uri().read().startswith("data:application/json")
    assert token.supports_interface(ERC721).read() is True
    assert token.name().read().startswith("Weighhouse")
    assert token.symbol().read() in {"MODEL", "LICENCE"}


def test_purchase_with_a_permit_needs_no_approval(do, market):
    plan_id, plan_hash = plan_of(do)
    deadline, nonce = market.now + 600, usd_token().nonces(market.buyer).read()
    spender = licence_market().address
    typed = eip712.permit(
        token_domain(), owner=market.buyer, spender=spender, value_units=10_000, nonce=nonce, deadline=deadline
    )
    assert usd_token().domain_separator().read() == "0x" + typed.domain.separator().hex()
    v, r, s, _ = do.sign(typed, by=market.buyer)
    request = licence_market().buy_with_permit(plan_id, plan_hash, market.outsider, deadline=deadline, v=v, r=r, s=s)
    bought = one(do(request, by=market.buyer), events.LicenceBought)
    assert (bought.holder, bought.payer) == (market.outsider, market.buyer)
    assert (bought.price_units, bought.entry_units) == (10_000, 1000)
    assert bought.expires_on_clock == market.now + 30 * DAY


@pytest.mark.parametrize("in_bytes", [False, True])
def test_purchase_by_a_signed_authorization_is_sent_by_anyone(do, market, in_bytes):
    plan_id, plan_hash = plan_of(do)
    nonce = licence_market().authorization_nonce(plan_id, plan_hash, market.buyer, SALT).read()
    assert nonce == eip712.authorization_nonce(
        market_domain(), plan_id=plan_id, plan_hash=plan_hash, recipient=market.buyer, price_units=10_000, salt=SALT
    )
    authorization = Authorization(market.buyer, 0, market.now + 600, SALT)
    typed = eip712.receive_authorization(
        token_domain(),
        payer=market.buyer,
        payee=licence_market().address,
        value_units=10_000,
        valid_after=authorization.valid_after,
        valid_before=authorization.valid_before,
        nonce=nonce,
    )
    v, r, s, signature = do.sign(typed, by=market.buyer)
    buy: Callable[..., TransactionRequest] = licence_market().buy_with_authorization
    parts = {"v": v, "r": r, "s": s}
    if in_bytes:
        buy, parts = licence_market().buy_with_wallet_authorization, {"signature": signature}
    found = do(buy(plan_id, plan_hash, market.buyer, authorization=authorization, **parts), by=market.outsider)
    assert one(found, events.LicenceBought).payer == market.buyer
    assert one(found, events.AuthorizationUsed) == events.AuthorizationUsed(market.buyer, nonce)
    assert usd_token().authorization_state(market.buyer, nonce).read() is True


def test_licence_is_bought_renewed_collected_split_and_cancelled_to_the_unit(do, market):
    chain, token = licence_market(), usd_token()
    plan_id, plan_hash = plan_of(do)
    model_id = plan_id >> 32
    do(token.approve(chain.address, 20_000), by=market.buyer)
    bought = one(do(chain.buy(plan_id, plan_hash, market.buyer, value_wei=0), by=market.buyer), events.LicenceBought)
    licence_id, bought_at = bought.licence_id, market.now
    assert chain.is_valid(licence_id).read() is True
    before = chain.get_state_fingerprint(licence_id).read()

    market.next_block_at(bought_at + 10 * DAY)
    collected = do(chain.collect([licence_id]), by=market.outsider)
    assert one(collected, events.IncomeVested) == events.IncomeVested(licence_id, 3000)
    assert chain.get_state_fingerprint(licence_id).read() != before

    market.next_block_at(bought_at + 15 * DAY)
    renewed = one(do(chain.renew(licence_id, plan_hash, value_wei=0), by=market.buyer), events.LicenceRenewed)
    # 9,000 were held, 4,500 of them have vested; the other half and 9,000 of the new price are held on.
    assert (renewed.amount_units, renewed.entry_units) == (13_500, 1000)
    assert renewed.expires_on_clock == bought_at + 60 * DAY

    # 45 days are left of the new term, nine pass.
    market.next_block_at(bought_at + 24 * DAY)
    settled = one(do(chain.cancel(licence_id, market.outsider), by=market.buyer), events.LicenceSettled)
    assert settled == events.LicenceSettled(licence_id, market.buyer, market.outsider, 13_500 * 4 // 5)
    (state,) = chain.licence_states([licence_id]).read()
    assert (state.exists, state.refund_units) == (False, 0)

    split = one(do(chain.split(plan_id), by=market.outsider), events.IncomeSplit)
    assert split.publisher_units == split.amount_units == 2000 + 4500 + 2700
    fingerprint = chain.model_fingerprint(model_id, [token.address]).read()
    withdrawn = one(
        do(chain.withdraw(model_id, token.address, market.admin), by=market.publisher), events.IncomeWithdrawn
    )
    assert withdrawn == events.IncomeWithdrawn(model_id, token.address, market.admin, 9200)
    assert chain.model_fingerprint(model_id, [token.address]).read() != fingerprint
    assert (chain.credit(model_id, token.address).read(), token.balance_of(chain.address).read()) == (0, 0)
    do(chain.retire_plan(plan_id), by=market.publisher)
    plan_terms, plan_state = chain.plan(plan_id).read()
    assert (plan_terms, plan_state.is_retired) == (terms(market, model_id), True)
    assert (plan_state.earned_units, plan_state.split_units) == (9200, 9200)
    assert chain.plan_count(model_id).read() == 1


def test_operator_reports_delivers_and_is_paid(do, market):
    chain = licence_market()
    registered = one(
        do(chain.register_operator(market.outsider, market.outsider), by=market.buyer), events.OperatorRegistered
    )
    operator_id = registered.operator_id
    do(chain.set_operator(operator_id, market.operator_key, market.operator_payee), by=market.buyer)
    people = (market.buyer, market.operator_key, market.operator_payee, False)
    assert chain.operator(operator_id).read() == Operator(*people)
    rights = int(Right.RUN | Right.DOWNLOAD)
    plan_id, _ = plan_of(do, operator_id=operator_id, service_bps=2000, calls=10, entry_bps=0, flags=rights)
    cancelled, delivered = market.buy(plan_id), market.buy(plan_id)

    report = do(chain.report_usage([cancelled, delivered, 5], [4, 11, 1]), by=market.operator_key)
    assert report == [
        events.UsageReported(cancelled, 4),
        events.UsageSkipped(delivered, 11, SkipReason.ABOVE_TOTAL),
        events.UsageSkipped(5, 1, SkipReason.UNKNOWN),
    ]
    deadline = market.now + DAY
    typed = eip712.cancel_request(market_domain(), licence_id=cancelled, to=market.buyer, deadline=deadline)
    assert chain.domain_separator().read() == "0x" + typed.domain.separator().hex()
    *_, signature = do.sign(typed, by=market.buyer)
    ended = do(chain.cancel_by_sig(cancelled, market.buyer, deadline, signature), by=market.outsider)
    assert one(ended, events.LicenceCancelled).settle_at == market.now + chain.report_window().read()
    market.warp(6 * 3600)
    refund = one(do(chain.settle(cancelled, market.buyer), by=market.outsider), events.LicenceSettled).refund_units
    assert refund == 6000

    typed = eip712.deliver_request(market_domain(), licence_id=delivered, recipient_key=KEY, deadline=deadline)
    *_, signature = do.sign(typed, by=market.buyer)
    request = chain.deliver(delivered, KEY, deadline, holder_signature=signature, wrapped_key_hash=SALT)
    handed = do(request, by=market.operator_key)
    assert one(handed, events.KeyDelivered) == events.KeyDelivered(delivered, market.buyer, KEY, SALT)
    assert one(handed, events.IncomeVested).amount_units == 10_000

    split = one(do(chain.split(plan_id), by=market.outsider), events.IncomeSplit)
    assert (split.amount_units, split.service_units, split.publisher_units) == (14_000, 2800, 11_200)
    payee = market.operator_payee
    assert chain.account_credit(payee, market.usd).read() == 2800
    paid = one(do(chain.withdraw_account(market.usd, payee), by=payee), events.AccountWithdrawn)
    assert paid == events.AccountWithdrawn(payee, market.usd, payee, 2800)
    disabled = do(chain.disable_operator(operator_id), by=market.guardian)
    assert disabled == [events.OperatorDisabled(operator_id)]
    assert chain.operator_count().read() == operator_id


def test_model_is_suspended_confirmed_and_resumed(do, market):
    chain, model_id = licence_market(), market.publish()
    suspended = one(do(chain.suspend(model_id, SALT), by=market.guardian), events.ModelSuspended)
    at = market.now
    assert (suspended.reason, suspended.lapses_at) == (SALT, at + chain.suspension().read())
    assert do(chain.confirm_suspension(model_id), by=market.admin) == [events.SuspensionConfirmed(model_id)]
    market.next_block_at(at + 20 * DAY)
    assert do(chain.resume(model_id), by=market.admin) == [events.ModelResumed(model_id, 20 * DAY)]
    assert chain.model_clock(model_id).read() == ModelClock(market.now - 20 * DAY, 0)
    with pytest.raises(NotSuspended):
        do(chain.resume(model_id), by=market.admin)


def test_roles_are_set_and_handed_over(do, market):
    chain, admin = licence_market(), market.admin
    assert do(chain.set_fee_bps(300), by=admin) == [events.FeeSet(300)]
    assert do(chain.set_treasury(market.buyer), by=admin) == [events.TreasurySet(market.buyer)]
    assert do(chain.set_guardian(market.outsider), by=admin) == [events.GuardianSet(market.outsider)]
    assert do(chain.set_pauser(NATIVE), by=admin) == [events.PauserSet(NATIVE)]
    assert do(chain.set_paused(True), by=admin) == [events.PausedSet(True)]
    assert do(chain.set_token_allowed(market.usd, False), by=admin) == [events.TokenAllowed(market.usd, False)]
    found = (chain.fee_bps(), chain.treasury(), chain.guardian(), chain.pauser(), chain.paused())
    assert [view.read() for view in found] == [300, market.buyer, market.outsider, NATIVE, True]
    assert chain.token_allowed(market.usd).read() is False
    started = do(chain.transfer_ownership(market.buyer), by=admin)
    assert started == [events.OwnershipTransferStarted(admin, market.buyer)]
    assert chain.pending_owner().read() == market.buyer
    assert do(chain.accept_ownership(), by=market.buyer) == [events.OwnershipTransferred(admin, market.buyer)]
    assert chain.owner().read() == market.buyer
    do(chain.renounce_ownership(), by=market.buyer)
    assert chain.owner().read() == NATIVE


def test_limits_are_those_of_the_specification():
    chain = licence_market()
    limits = {
        chain.max_period(): 3650 * DAY,
        chain.min_vesting(): 3600,
        chain.max_vesting(): 90 * DAY,
        chain.max_calls(): 2**31 - 1,
        chain.max_fee_bps(): MAX_FEE_BPS,
        chain.max_service_bps(): 5000,
        chain.max_entry_bps(): 2000,
        chain.royalty_bps(): 500,
        chain.report_window(): 6 * 3600,
        chain.suspension(): 14 * DAY,
        chain.settle_after(): 90 * DAY,
        chain.batch(): 50,
    }
    assert {view.function: view.read() for view in limits} == {view.function: limit for view, limit in limits.items()}


def test_royalty_is_a_twentieth_for_the_owner_of_the_model(do, market):
    *_, licence_id = market.sold_licence()
    assert licence_market().royalty_info(licence_id, 1000).read() == Royalty(market.publisher, 50)


def test_contracts_name_each_other():
    assert licence_market().registry().read() == model_registry().address
    assert receipt_anchor().market().read() == licence_market().address


def test_receipts_are_anchored_and_proven(do, market):
    receipt = "0x" + hashlib.sha256(b"a receipt").hexdigest()
    root = "0x" + keccak(keccak(bytes.fromhex(receipt[2:]))).hex()
    anchored = do(receipt_anchor().anchor(market.operator_id, root, 1, DIGEST), by=market.operator_key)
    assert anchored == [events.Anchored(market.operator_id, root, 1, DIGEST)]
    assert receipt_anchor().anchored(market.operator_id, root).read() == Anchored(market.now, 1)
    assert receipt_anchor().verify(market.operator_id, root, receipt, []).read() is True
    assert receipt_anchor().verify(market.operator_id, root, receipt, [SALT]).read() is False


def test_play_money_moves_by_every_way_of_its_standards(do, market):
    token, payer, payee = usd_token(), market.buyer, market.outsider
    supply, had = token.total_supply().read(), token.balance_of(payee).read()
    do(token.mint(payer, 100), by=payee)
    do(token.transfer(payee, 10), by=payer)
    do(token.approve(payee, 5), by=payer)
    do(token.transfer_from(payer, payee, 3), by=payee)
    deadline = market.now + DAY
    typed = eip712.permit(token_domain(), owner=payer, spender=payee, value_units=7, nonce=0, deadline=deadline)
    v, r, s, _ = do.sign(typed, by=payer)
    approved = do(token.permit(payer, payee, 7, deadline, v, r, s), by=payee)
    assert approved == [events.TokenApproval(payer, payee, 7)]
    assert token.allowance(payer, payee).read() == 7
    assert token.balance_of(payee).read() == had + 13
    assert token.total_supply().read() == supply + 100
    assert (token.decimals().read(), token.symbol().read(), token.version().read()) == (6, "TestUSD", "1")
    assert token.name().read() == token_domain().name


@pytest.mark.parametrize("in_bytes", [False, True])
def test_play_money_moves_by_authorizations(do, market, in_bytes):
    token, payer, payee = usd_token(), market.buyer, market.outsider
    suffix = "_wallet_authorization" if in_bytes else "_authorization"

    def signed(kind: str, nonce: str) -> tuple[Any, ...]:
        members = {"payer": payer, "payee": payee, "value_units": 4, "valid_after": 0, "valid_before": 2**40}
        typed = eip712.receive_authorization(token_domain(), **members, nonce=nonce)
        typed = TypedData(typed.domain, kind, typed.members, typed.message)
        v, r, s, signature = do.sign(typed, by=payer)
        return (signature,) if in_bytes else (v, r, s)

    def authorization(nonce: str) -> TransferAuthorization:
        return TransferAuthorization(payer, payee, 4, 0, 2**40, nonce)

    receive, transfer = getattr(token, f"receive_with{suffix}"), getattr(token, f"transfer_with{suffix}")
    received = do(receive(authorization(SALT), *signed("ReceiveWithAuthorization", SALT)), by=payee)
    assert one(received, events.TokenTransfer) == events.TokenTransfer(payer, payee, 4)
    moved = do(transfer(authorization(KEY), *signed("TransferWithAuthorization", KEY)), by=market.admin)
    assert one(moved, events.TokenTransfer) == events.TokenTransfer(payer, payee, 4)
    members = (("authorizer", "address"), ("nonce", "bytes32"))
    message = {"authorizer": payer, "nonce": DIGEST}
    v, r, s, signature = do.sign(TypedData(token_domain(), "CancelAuthorization", members, message), by=payer)
    if in_bytes:
        request = token.cancel_wallet_authorization(payer, DIGEST, signature)
    else:
        request = token.cancel_authorization(payer, DIGEST, v=v, r=r, s=s)
    assert do(request, by=market.admin) == [events.AuthorizationCanceled(payer, DIGEST)]


def test_this_file_uses_every_method_of_the_bindings():
    source = inspect.getsource(inspect.getmodule(test_this_file_uses_every_method_of_the_bindings))
    for contract in (model_registry, licence_market, receipt_anchor, usd_token):
        kind = inspect.signature(contract).return_annotation
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if name.startswith("_") or name.endswith("_authorization"):
                continue
            assert f".{name}(" in source, f"{kind.__name__}.{name}"
            returned = inspect.signature(method).return_annotation
            assert returned is TransactionRequest or returned.__origin__ is View
